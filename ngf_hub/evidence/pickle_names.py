"""Which globals a pickle may name: those of plain weights, unusual ones, dangerous ones.

`picklescan` keeps a list of what is known to run code. Of the standard library
everything else is dangerous too unless it is known to be harmless, since new
ways through it are found all the time; of other packages only what is known or
what by its name loads, runs or writes something. The rest is unusual: nothing
that weights need, and never loaded here.
"""

from __future__ import annotations

import builtins
import io
import logging
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from ngf_hub.evidence.pickle_parts import Name

ALLOWED_GLOBALS = {
    "collections.OrderedDict",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch.Size",
    "torch.nn.parameter.Parameter",
    "torch.storage.TypedStorage",
    "torch.storage.UntypedStorage",
}
_ALLOWED_FORMS = re.compile(
    r"torch\.(?:(?:Double|Float|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
    r"|float64|float32|float16|bfloat16|int64|int32|int16|int8|uint8|bool)"
)

# Of the standard library: they hold values.
_HARMLESS: dict[str, set[str]] = {
    "array": {"array", "_array_reconstructor"},
    "argparse": {"Namespace"},
    "builtins": {
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int"),
        *("list", "object", "range", "set", "slice", "str", "tuple"),
        *("Ellipsis", "NotImplemented"),
        *(n for n, v in vars(builtins).items() if isinstance(v, type) and issubclass(v, Exception)),
    },
    "collections": {
        *("ChainMap", "Counter", "OrderedDict", "UserDict", "UserList", "UserString"),
        *("defaultdict", "deque"),
    },
    "copyreg": {"_reconstructor", "__newobj__", "__newobj_ex__"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "io": {"BytesIO", "StringIO"},
    "_io": {"BytesIO", "StringIO"},
    "itertools": {"chain", "count", "cycle", "repeat"},
    "logging": {"getLogger", "Logger"},
    "numbers": {"Complex", "Integral", "Number", "Rational", "Real"},
    "pathlib": {
        *("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    },
    "pathlib._local": {"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "random": {"Random"},
    "re": {"_compile"},
    "time": {"struct_time"},
    "types": {"SimpleNamespace"},
    "typing": {
        *("Any", "Callable", "Dict", "Iterable", "List", "Literal", "Mapping", "Optional"),
        *("Sequence", "Set", "Tuple", "Type", "Union"),
    },
    "uuid": {"UUID", "SafeUUID"},
    "zoneinfo": {"ZoneInfo._unpickle"},
}

# What the standard library no longer has, or has on other systems, or does not list.
_STDLIB = sys.stdlib_module_names | {
    *("__builtin__", "__builtins__", "_winapi", "asynchat", "asyncore", "cgi", "commands"),
    *("crypt", "distutils", "imp", "lib2to3", "msvcrt", "nntplib", "nt", "pipes", "posix"),
    *("smtpd", "telnetlib", "test", "winreg"),
}

# Other packages: modules and functions that load, run, fetch or write something.
_DANGEROUS = re.compile(
    r"(?:"
    r"torch\.(?:load|save|compile|hub|package|fx|ops|classes|multiprocessing|_dynamo|_inductor"
    r"|_export|_C\._jit\w*|jit\.(?!_pickle\b)\w+|serialization\.(?!_get_layout\b)\w+"
    r"|distributed\.(?:rpc|run|launch\w*|elastic)|utils\.(?:cpp_extension|bottleneck"
    r"|collect_env|_config_module|model_zoo|mobile_optimizer|data\.datapipes))"
    r"|numpy\.(?:load\w*|save\w*|memmap|fromfile|genfromtxt|fromregex|f2py|testing|distutils"
    r"|ctypeslib|lib\.(?:npyio|format|_npyio_impl|_datasource))"
    r"|pandas\.(?:read_\w+|eval|io|core\.computation)"
    r"|scipy\.(?:io|weave)|sklearn\.datasets"
    r"|(?:sklearn\.externals\.)?joblib\.(?!numpy_pickle\w*\.Z?N\w+Wrapper\b)\w+"
    r"|transformers\.(?:pipelines?|dynamic_module_utils|utils\.hub)|timm\.models\._hub"
    r"|tensorflow\.(?:io|keras\.models|saved_model|load_library|load_op_library|raw_ops)"
    r"|(?:tf_)?keras\.(?:config|models|saving|utils|src\.(?:config|models|saving|utils))"
    r"|huggingface_hub|dill|cloudpickle|jsonpickle|_?yaml|ruamel|pip|setuptools|pkg_resources"
    r"|IPython|ipykernel|jinja2|mako|sympy|numba|llvmlite|cffi|requests|urllib3|aiohttp|httpx2?"
    r"|websockets?|paramiko|fabric|invoke|sh|pexpect|ptyprocess|psutil|fsspec|ray|dask|pyspark"
    r"|cython|Cython|pyximport|pytest|_pytest|picklescan|fickling|modelscan|modelaudit|ngf_hub"
    r")\b"
)
# A function, whatever its package, that is called so does more than hold a value.
_VERBS = re.compile(
    r"_*(?:main|unpickle|call|check_output|command|cmd|shell|system|spawn\w*|popen\w*|unlink|rmtree|remove"
    r"|(?:load|read|open|exec|eval|run|import|compile|execute|download|upload|fetch|save|write"
    r"|dump|delete|deserialize)(?:s|_(?!from_bytes$)\w+)?|from_pretrained|urlopen"
    r"|import_module|\w+_(?:exec|eval|cmd|command|shell|from_url))"
)


def is_plain(name: Name) -> bool:
    """Whether a dictionary of dense tensors needs it."""
    whole = str(name)
    return whole in ALLOWED_GLOBALS or _ALLOWED_FORMS.fullmatch(whole) is not None


@lru_cache(maxsize=4096)
def danger(name: Name) -> str | None:
    """Why a global is dangerous, to follow "it would import NAME"; ``None`` if it is not."""
    module, attributes = name.module, name.name.split(".")
    if is_harmless(name):
        return None
    if module.split(".")[0] in _STDLIB:
        return ", which no weights need and which can run code or touch files"
    for attribute in attributes:
        if attribute.startswith("__") and attribute.endswith("__"):
            return ", which reaches into the interpreter"
        # A module that another one has imported is one of its attributes.
        if attribute in _STDLIB and attribute not in _HARMLESS:
            return f", which reaches the module {attribute}"
    if _DANGEROUS.match(str(name)) or _VERBS.fullmatch(attributes[-1]):
        return ", which can run code or touch files"
    if _listed(name):
        return ", which is known to run code"
    return None


def is_harmless(name: Name) -> bool:
    """Whether a global of the standard library is known to hold values only."""
    return name.name in _HARMLESS.get(name.module, ())


def _listed(name: Name) -> bool:
    """Whether picklescan knows it as dangerous.

    It is asked through a pickle that names just this, so that nothing depends
    on how it reads others.
    """
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    parts = [part.encode("utf-8", "replace") for part in name]
    strings = b"".join(b"X" + struct.pack("<I", len(part)) + part for part in parts)
    with _quiet("picklescan"):
        result = scan_pickle_bytes(io.BytesIO(b"\x80\x04" + strings + b"\x93."), "", False)
    return any(found.safety is SafetyLevel.Dangerous for found in result.globals)


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Findings are returned, so that the scanner's own log lines would be said twice."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)

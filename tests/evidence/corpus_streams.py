"""Hostile pickle streams: ways to name what must not be named, and to run it."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess

import numpy as np

from . import assembler as a
from .corpus import case


class Runs:
    """Its pickle calls something."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile(name, about, loader="pickle"):
    return case(name, about, hostile=True, loader=loader)


def simple(name, about, function, *arguments, loader="pickle"):
    """One call: ``arguments`` are functions of the mark."""
    module, attribute = function
    called = lambda path, mark: a.stream(  # noqa: E731
        a.call(a.name(module, attribute), *(argument(mark) for argument in arguments))
    )
    hostile(name, about, loader)(called)


@hostile("reduce_system.pkl", "os.system by __reduce__")
def _(path, mark):
    return pickle.dumps(Runs(os.system, f"touch '{mark}'"))


for protocol in range(6):

    @hostile(f"reduce_eval_{protocol}.pkl", f"builtins.eval, protocol {protocol}")
    def _(path, mark, protocol=protocol):
        return pickle.dumps(Runs(eval, f"open({str(mark)!r}, 'w')"), protocol=protocol)


@hostile("popen.pkl", "subprocess.Popen by __reduce__")
def _(path, mark):
    return pickle.dumps(Runs(subprocess.call, ["touch", str(mark)]))


simple("exec.pkl", "builtins.exec", ("builtins", "exec"), a.writing)
simple("runpy.pkl", "runpy._run_code", ("runpy", "_run_code"), a.writing, lambda m: b"}")
simple("timeit.pkl", "timeit.timeit", ("timeit", "timeit"), a.writing)
simple("profile.pkl", "cProfile.run", ("cProfile", "run"), a.writing)
simple(
    "bdb.pkl",
    "bdb.Bdb().run",
    ("bdb", "Bdb.run"),
    lambda m: a.call(a.name("bdb", "Bdb")),
    a.writing,
)
simple(
    "pydoc.pkl",
    "pydoc.pipepager",
    ("pydoc", "pipepager"),
    lambda m: a.text(""),
    lambda m: a.text(f"touch '{m}'"),
)
simple(
    "pty.pkl",
    "pty.spawn",
    ("pty", "spawn"),
    lambda m: b"(" + a.text("touch") + a.text(str(m)) + b"l",
)
simple(
    "webbrowser.pkl",
    "webbrowser.open",
    ("webbrowser", "open"),
    lambda m: a.text("http://example.org"),
    loader=None,
)
simple(
    "socket.pkl",
    "socket.create_connection",
    ("socket", "create_connection"),
    lambda m: a.text("example.org") + a.number(80) + b"\x86",
    loader=None,
)
simple(
    "urlopen.pkl",
    "urllib.request.urlopen",
    ("urllib.request", "urlopen"),
    lambda m: a.text("http://example.org"),
    loader=None,
)
simple(
    "pip.pkl",
    "pip's main",
    ("pip._internal", "main"),
    lambda m: b"(" + a.text("install") + a.text("x") + b"l",
    loader=None,
)
simple(
    "rmtree.pkl", "shutil.rmtree", ("shutil", "rmtree"), lambda m: a.text("/nowhere"), loader=None
)
simple(
    "ctypes.pkl", "ctypes.CDLL", ("ctypes", "CDLL"), lambda m: a.text("/nowhere.so"), loader=None
)
simple(
    "torch_load.pkl",
    "torch.load of another file",
    ("torch.serialization", "load"),
    lambda m: a.text("/nowhere"),
    loader=None,
)
simple(
    "hub_load.pkl",
    "torch.hub.load of a repository",
    ("torch.hub", "load"),
    lambda m: a.text("someone/something"),
    lambda m: a.text("model"),
    loader=None,
)
simple(
    "joblib_load.pkl",
    "joblib.load of another file",
    ("joblib", "load"),
    lambda m: a.text("/nowhere"),
    loader=None,
)
simple(
    "pandas.pkl",
    "pandas.read_pickle of another file",
    ("pandas.io.pickle", "read_pickle"),
    lambda m: a.text("/nowhere"),
    loader=None,
)
simple(
    "sqlite.pkl",
    "sqlite3.connect, which makes a file",
    ("sqlite3", "connect"),
    lambda m: a.text(str(m)),
)
simple(
    "write_text.pkl",
    "pathlib.Path.write_text",
    ("pathlib", "Path.write_text"),
    lambda m: a.call(a.name("pathlib", "PosixPath"), a.text(str(m))),
    lambda m: a.text("x"),
)
simple(
    "memmap.pkl",
    "numpy.memmap, which makes a file",
    ("numpy", "memmap"),
    lambda m: a.text(str(m)),
    lambda m: a.text("u1"),
    lambda m: a.text("w+"),
    lambda m: a.number(0),
    lambda m: a.number(8),
)
simple(
    "runstring.pkl",
    "numpy's runstring",
    ("numpy.testing._private.utils", "runstring"),
    a.writing,
    lambda m: b"}",
)
simple(
    "run_subprocess.pkl",
    "a runner of another package",
    ("huggingface_hub.utils._subprocess", "run_subprocess"),
    lambda m: a.text(f"touch {m}"),
)
simple(
    "spawnv.pkl",
    "multiprocessing.util.spawnv_passfds",
    ("multiprocessing.util", "spawnv_passfds"),
    lambda m: a.data(b"/usr/bin/touch"),
    lambda m: b"(" + a.text("touch") + a.text(str(m)) + b"l",
    lambda m: b"]",
)
simple(
    "dotted.pkl", "os.system as an attribute of another module", ("logging", "os.system"), a.touch
)
simple(
    "dotted_torch.pkl",
    "os.system as an attribute of torch.serialization",
    ("torch.serialization", "os.system"),
    a.touch,
)
simple(
    "fx.pkl",
    "torch.fx.reduce_graph_module, which runs source",
    ("torch.fx.graph_module", "reduce_graph_module"),
    lambda m: b"(" + a.text("_code") + a.text("\ndef forward(self): pass") + b"d",
    a.writing,
)
simple(
    "pdf.pkl",
    "a class of another package that writes a file",
    ("PIL.PdfParser", "PdfParser"),
    lambda m: a.text(str(m)),
    lambda m: b"N",
    lambda m: b"N",
    lambda m: a.number(0),
    lambda m: a.text("w+b"),
)


@hostile("nested.pkl", "a pickle in a pickle: pickle.loads")
def _(path, mark):
    return a.stream(a.call(a.name("pickle", "loads"), a.data(a.stream(a.shell(mark)))))


@hostile("python2_name.pkl", "pickle.loads by Python 2's name of it")
def _(path, mark):
    inner = a.data(a.stream(a.shell(mark)))
    return a.stream(a.call(a.name("cPickle", "loads"), inner), protocol=2)


@hostile("load_from_bytes.pkl", "an archive of PyTorch in a pickle", "torch")
def _(path, mark):
    import io

    import torch

    inner = io.BytesIO()
    torch.save(Runs(os.system, f"touch '{mark}'"), inner)
    payload = a.call(a.name("torch.storage", "_load_from_bytes"), a.data(inner.getvalue()))
    # Any file that torch.load reads may hold it: here the one before 1.6.
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    return magic + a.stream(payload, protocol=2) + pickle.dumps([], 2)


@hostile("getattr_chain.pkl", "getattr(__import__('os'), 'system')")
def _(path, mark):
    module = a.call(a.name("builtins", "__import__"), a.text("os"))
    return a.stream(
        a.call(a.call(a.name("builtins", "getattr"), module, a.text("system")), a.touch(mark))
    )


@hostile("attrgetter.pkl", "operator.attrgetter on importlib.import_module")
def _(path, mark):
    module = a.call(a.name("importlib", "import_module"), a.text("os"))
    getter = a.call(a.name("_operator", "attrgetter"), a.text("system"))
    return a.stream(a.call(a.call(getter, module), a.touch(mark)))


@hostile("partial.pkl", "functools.partial, called")
def _(path, mark):
    made = a.call(a.name("functools", "partial"), a.name("os", "system"), a.touch(mark))
    return a.stream(a.call(made))


@hostile("cipher.pkl", "a name in ROT13, put together when it is loaded")
def _(path, mark):
    decode = lambda word: a.call(a.name("_codecs", "decode"), a.text(word), a.text("rot13"))  # noqa: E731
    return a.stream(a.call(decode("bf") + decode("flfgrz") + b"\x93", a.touch(mark)))


@hostile("memo.pkl", "module and attribute from the memo")
def _(path, mark):
    words = a.text("system") + b"q\x07" + b"0" + a.text("os") + b"q\x01" + b"0"
    return b"\x80\x04" + words + a.call(b"h\x01h\x07\x93", a.touch(mark)) + b"."


@hostile("memo_of_another.pkl", "two pickles; the second has a memo of its own", "twice")
def _(path, mark):
    first = b"\x80\x04" + a.text("collections") + b"\x94" + a.text("OrderedDict") + b"\x94\x93."
    words = a.text("os") + b"\x940" + a.text("system") + b"\x940"
    return first + b"\x80\x04" + words + a.call(b"h\x00h\x01\x93", a.touch(mark)) + b"."


@hostile("inst.pkl", "the INST opcode")
def _(path, mark):
    return b"(" + f"S'touch {mark}'\n".encode() + b"ios\nsystem\n."


@hostile("obj.pkl", "the OBJ opcode with subprocess.Popen")
def _(path, mark):
    words = b"(" + a.text("touch") + a.text(str(mark)) + b"l"
    return a.stream(b"(" + a.name("subprocess", "Popen") + words + b"o")


@hostile("setstate.pkl", "BUILD: os.system as an object's __setstate__")
def _(path, mark):
    made = a.name("types", "SimpleNamespace") + b")\x81"
    planted = b"(" + a.text("__setstate__") + a.name("os", "system") + b"d"
    return a.stream(made + planted + b"b" + a.touch(mark) + b"b")


@hostile("patched.pkl", "BUILD on a class: a method of it is replaced")
def _(path, mark):
    planted = b"N(" + a.text("__setstate__") + a.name("logging", "os.system") + b"d\x86"
    changed = a.name("argparse", "Namespace") + planted + b"b"
    return a.stream(changed, a.name("argparse", "Namespace") + b")\x81" + a.touch(mark) + b"b")


@hostile("extension.pkl", "os.system by a number of copyreg's registry")
def _(path, mark):
    added = a.call(a.name("copyreg", "add_extension"), a.text("os"), a.text("system"), a.number(7))
    return a.stream(added, a.call(b"\x82\x07", a.touch(mark)))


@hostile("odd_number.pkl", "0x1, which disassemblers cannot read, before the payload")
def _(path, mark):
    return b"I0x1\n0" + a.shell(mark) + b"."


@hostile("truncated.pkl", "cut off behind the payload")
def _(path, mark):
    return a.stream(a.shell(mark))[:-1]


@hostile("second.pkl", "the second of two pickles", "twice")
def _(path, mark):
    return pickle.dumps({"epoch": 1}) + a.stream(a.shell(mark))


@hostile("gzipped.pkl.gz", "compressed with gzip", "gzip")
def _(path, mark):
    return gzip.compress(a.stream(a.shell(mark)))


@hostile("cut.pkl.gz", "compressed with gzip, and cut off at the end", "gzip")
def _(path, mark):
    return gzip.compress(a.stream(a.shell(mark)))[:-6]


@hostile("objects.npy", "a NumPy array of objects", "numpy")
def _(path, mark):
    with path.open("wb") as file:
        np.save(file, np.array([Runs(os.system, f"touch '{mark}'")], dtype=object))


@hostile("objects.npz", "the same in an archive", "numpy")
def _(path, mark):
    np.savez(
        path, plain=np.zeros(3), x=np.array([Runs(os.system, f"touch '{mark}'")], dtype=object)
    )


@hostile("arrays.joblib", "behind an array of joblib", "joblib")
def _(path, mark):
    import joblib

    joblib.dump([np.arange(50.0), Runs(os.system, f"touch '{mark}'")], path)


@hostile("objects.joblib", "in joblib's array of objects", "joblib")
def _(path, mark):
    import joblib

    joblib.dump(np.array([Runs(os.system, f"touch '{mark}'"), 1], dtype=object), path)


@hostile("compressed.joblib", "the same, compressed", "joblib")
def _(path, mark):
    import joblib

    joblib.dump([np.arange(50.0), Runs(os.system, f"touch '{mark}'")], path, compress=("zlib", 3))


@hostile("lzma.joblib", "the same, compressed with lzma", "joblib")
def _(path, mark):
    import joblib

    joblib.dump([np.arange(50.0), Runs(os.system, f"touch '{mark}'")], path, compress=("xz", 3))


@hostile("fake_array.pkl", "opcodes that only joblib would take for an array")
def _(path, mark):
    dtype = a.call(a.name("numpy", "dtype"), a.text("u1"))
    payload = a.shell(mark) + b"."
    state = b"(" + a.text("shape") + a.number(len(payload)) + b"\x85" + a.text("dtype") + dtype
    state += a.text("order") + a.text("C") + a.text("subclass") + a.name("numpy", "ndarray") + b"d"
    wrapper = a.name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    return b"\x80\x04" + wrapper + state + b"b" + payload + b"."

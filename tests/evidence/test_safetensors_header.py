"""Headers that lie, beside what the safetensors library makes of them."""

import contextlib
import json
import time
import tracemalloc

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ngf_hub.evidence.safetensors_header import (
    MAX_HEADER,
    MAX_READ,
    HeaderError,
    HeaderTooLong,
    TensorInfo,
    read_header,
)

from .corpus_archives import saved

TENSORS = {
    "weight": torch.zeros(3, 4),
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 5),
    "mask": torch.ones(3, dtype=torch.bool),
}


def file_of(header, data=0):
    """A file with a header (JSON values or text) and zeros for data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


def tensor(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


class Reading:
    """Reads from bytes, and adds up how many were asked for."""

    def __init__(self, data):
        self.data, self.asked = data, 0

    def __call__(self, start, count):
        self.asked += count
        return self.data[start : start + count]


def check(data, size=None):
    return read_header(Reading(data), len(data) if size is None else size)


def test_headers_of_the_library_pass():
    header = check(save(TENSORS, metadata={"format": "pt"}))
    assert header.tensors == {
        "weight": TensorInfo("F32", (3, 4)),
        "scalar": TensorInfo("I64", ()),
        "empty": TensorInfo("F32", (0, 5)),
        "mask": TensorInfo("BOOL", (3,)),
    }
    assert header.metadata == {"format": "pt"}
    assert header.missing == 0
    assert check(save({})).tensors == {}


@pytest.mark.parametrize(
    "dtype",
    [
        *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"),
        *("bool", "float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64", "complex64"),
    ],
)
def test_every_type_passes(dtype):
    tensors = {"x": torch.zeros(3, 2).to(getattr(torch, dtype))}
    assert check(save(tensors)).tensors["x"].shape == (3, 2)


def test_only_the_header_is_read():
    data = save({"x": torch.zeros(100_000)})
    reading = Reading(data)
    read_header(reading, len(data))
    assert reading.asked < 200


TWICE = b'{"a":' + json.dumps(tensor(0, 4)).encode()
LIES = {
    "header longer than the file": (file_of({"a": tensor(0, 4)})[:30], "claims"),
    "header longer than any": ((MAX_HEADER + 1).to_bytes(8, "little") + b"{}" * 20, "claims"),
    "no JSON": (file_of(b"{not json}"), "no JSON"),
    "a list": (file_of(b"[1, 2, 3]"), "no JSON object"),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "no JSON"),
    "a constant": (file_of(b'{"a": NaN}'), "no integer"),
    "name twice": (file_of(TWICE + b"," + TWICE[1:] + b"}", 4), "twice"),
    "key twice": (
        file_of(b'{"a":{"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,4]}}', 4),
        "twice",
    ),
    "overlap": (file_of({"a": tensor(0, 8, (2,)), "b": tensor(4, 8)}, 8), "overlaps"),
    "gap": (file_of({"a": tensor(0, 4), "b": tensor(8, 12)}, 12), "no tensor's"),
    "gap at the start": (file_of({"a": tensor(4, 8)}, 8), "no tensor's"),
    "bytes behind": (file_of({"a": tensor(0, 4)}, 9), "5 bytes follow"),
    "shape needs more": (file_of({"a": tensor(0, 4, (2,))}, 4), "need 8"),
    "shape needs less": (file_of({"a": tensor(0, 4, (0,))}, 4), "need 0"),
    "ends before it starts": (file_of({"a": tensor(4, 0)}, 4), "need 4"),
    "negative offset": (file_of({"a": tensor(-4, 0)}, 4), "no numbers"),
    "negative shape": (file_of({"a": tensor(0, 4, (-1, -1))}, 4), "no numbers"),
    "shape of text": (file_of({"a": tensor(0, 4, ("1",))}, 4), "no numbers"),
    "bool for a number": (file_of({"a": tensor(0, 4, (True,))}, 4), "no numbers"),
    "fraction": (file_of({"a": tensor(0, 4, (1.0,))}, 4), "no integer"),
    "overflow": (file_of({"a": tensor(0, 4, (2**63, 2**63))}, 4), "need"),
    "beyond 64 bits": (file_of({"a": tensor(0, 4, (10**30,))}, 4), "64 bits"),
    "unknown type": (file_of({"a": tensor(0, 4, dtype="F33")}, 4), "does not exist"),
    "no type": (file_of({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4), "not a tensor's"),
    "more than a tensor": (file_of({"a": {**tensor(0, 4), "code": "x"}}, 4), "not a tensor's"),
    "metadata no texts": (file_of({"__metadata__": {"a": 1}, "a": tensor(0, 4)}, 4), "texts"),
    "empty": (b"", "too short"),
    "a checkpoint renamed": (saved({"w": torch.zeros(3)}), "zip archive"),
    "a pickle renamed": (b"\x80\x04N." + bytes(20), "pickle"),
    "HDF5 renamed": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
}


@pytest.mark.parametrize("case", LIES)
def test_lies_are_found(case):
    data, reason = LIES[case]
    with pytest.raises(HeaderError, match=reason) as caught:
        check(data)
    assert not isinstance(caught.value, HeaderTooLong)
    assert str(caught.value).isprintable()


# Here the library takes one of two readings, or ignores what does not belong.
LENIENT = {"name twice", "key twice", "more than a tensor"}


@pytest.mark.parametrize("case", LIES)
def test_the_library_refuses_most_of_them_too(case, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(LIES[case][0])
    try:
        with safe_open(path, "pt") as opened:
            opened.keys()
        refused = False
    except (SafetensorError, OSError, ValueError, OverflowError):
        refused = True
    assert refused or case in LENIENT


def test_a_file_that_is_cut_is_no_lie():
    data = save(TENSORS)
    assert check(data[:-5]).missing == 5


def test_a_long_header_is_neither_read_nor_called_a_lie():
    reading = Reading((MAX_READ + 1).to_bytes(8, "little") + b'{"a": ')
    with pytest.raises(HeaderTooLong):
        read_header(reading, 10 * MAX_READ)
    assert reading.asked <= 16


FILL = MAX_READ - 100
BOMBS = {
    "nesting": b'{"a":' + b"[" * FILL,
    "a number": b'{"a":' + b"1" * FILL + b"}",
    "many names": b"{" + b",".join(b'"%d":1' % i for i in range(FILL // 11)) + b"}",
    "one name": b"{" + b'"a":1,' * (FILL // 6) + b'"a":1}',
    "a text": b'{"__metadata__":{"a":"' + b"x" * FILL + b'"}}',
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_cost_little(case):
    data = file_of(BOMBS[case])
    tracemalloc.start()
    start = time.process_time()
    with contextlib.suppress(HeaderError):
        check(data)
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 20  # some of it for the tracing
    assert peak < 60 * MAX_READ

"""Following a pickle without running it, against the real unpickler where that is safe."""

import collections
import datetime
import decimal
import io
import pathlib
import pickle
import random
import time
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngf_hub.evidence.pickle_names import danger
from ngf_hub.evidence.pickle_parts import Budget, Name, Window
from ngf_hub.evidence.pickle_stream import read_stream

from . import assembler as a

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.binary(max_size=300),
    st.just(decimal.Decimal("1.5")),
    st.just(datetime.timedelta(1)),
    st.just(pathlib.PurePosixPath("a/b")),
    st.just(uuid.UUID(int=7)),
    st.just(1j),
    st.just(type(None)),
    st.just(collections.OrderedDict(a=1)),
)
OBJECTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=5), inner, max_size=5),
        st.tuples(inner, inner),
        st.lists(inner, max_size=3).map(lambda items: [items, items]),
        st.sets(st.integers(), max_size=4),
    ),
    max_leaves=20,
)


class Recorder(pickle.Unpickler):
    """The real unpickler, taking down what it imports."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.names = set()

    def find_class(self, module, attribute):
        self.names.add(Name(module, attribute))
        return super().find_class(module, attribute)


def follow(data, **options):
    return read_stream(Window(data), Budget(), **options)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OBJECTS, st.integers(0, 5))
def test_names_are_those_that_the_unpickler_imports(value, protocol):
    data = pickle.dumps(value, protocol)
    recorder = Recorder(data)
    recorder.load()
    stream = follow(data)
    assert stream.error is None
    # It is Python 2's name that find_class is given below protocol 3, if it is overridden.
    assert {name.name for name in recorder.names} <= {name.name for name in stream.names}
    if protocol >= 3:
        assert stream.names == recorder.names
    assert not stream.tricks
    assert not any(stream.loose.values())
    assert all(danger(name) is None or name in stream.loose for name in stream.names)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data):
    follow(data)
    follow(b"\x80\x04" + data, joblib=True)


def test_any_damage_is_survived():
    generator = random.Random(0)
    data = bytearray(pickle.dumps([{"a": (1, "x")}, decimal.Decimal(1), b"z" * 40, {1, 2}], 4))
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        follow(bytes(damaged))


def test_the_end_is_that_of_the_unpickler():
    data = pickle.dumps([1, 2]) + b"behind"
    window = Window(data)
    assert read_stream(window, Budget()).error is None
    assert window.left() == len(b"behind")


@pytest.mark.parametrize(
    ("data", "trick"),
    [
        (a.stream(a.call(a.call(a.name("x.y", "f")))), "calls something that it computes"),
        (a.stream(a.name("x", "C") + b"}b"), "changes x.C itself"),
        (a.stream(a.name("x", "d") + a.text("k") + a.text("v") + b"s"), "changes x.d itself"),
        (a.stream(a.name("x", "l") + a.text("v") + b"a"), "changes x.l itself"),
        (a.stream(b"\x82\x07"), "copyreg's registry"),
        (a.stream(a.call(a.name("x", "f")) + a.text("n") + b"\x93"), "a name that it computes"),
    ],
)
def test_tricks(data, trick):
    (found,) = follow(data).tricks
    assert trick in found


def loose(*parts):
    stream = follow(a.stream(*parts, protocol=4))
    return {str(name) for name, count in stream.loose.items() if count > 0}


def test_harmless_uses_are_told_from_others():
    getattr_, type_, none = a.name("builtins", "getattr"), a.name("builtins", "type"), b"N"
    enum = a.name("some.module", "Strategy")
    assert loose(a.call(getattr_, enum, a.text("EPOCH"))) == set()
    assert loose(a.call(getattr_, enum, a.text("epoch"))) == {"builtins.getattr"}
    assert loose(a.call(getattr_, a.call(enum), a.text("EPOCH"))) == {"builtins.getattr"}
    assert loose(getattr_) == {"builtins.getattr"}
    # Used once harmlessly, and once more from the memo.
    assert loose(getattr_ + b"q\x00(" + enum + a.text("NO") + b"tR", b"h\x00") == {
        "builtins.getattr"
    }
    assert loose(a.call(type_, none)) == set()
    assert loose(a.call(type_, a.text("C"), b")", b"}")) == {"builtins.type"}
    encode = a.name("_codecs", "encode")
    assert loose(a.call(encode, a.text("x"), a.text("latin1"))) == set()
    assert loose(a.call(encode, a.text("x"), a.text("rot13"))) == {"_codecs.encode"}
    # What a member of an enumeration gives is a value, and no function to call.
    called = follow(a.stream(a.call(a.call(getattr_, enum, a.text("EPOCH")))))
    assert called.tricks
    assert Name("some.module", "Strategy.EPOCH") in called.names


def test_names_of_python_2_are_understood():
    data = b"\x80\x02" + a.name("__builtin__", "eval") + a.name("cPickle", "loads") + b"."
    assert follow(data).names == {Name("builtins", "eval"), Name("pickle", "loads")}
    # From protocol 3 on, the name is taken as it stands.
    assert follow(b"\x80\x03" + data[2:]).names == {
        Name("__builtin__", "eval"),
        Name("cPickle", "loads"),
    }


def test_work_is_bounded():
    budget = Budget(operations=1000)
    stream = read_stream(Window(b"\x80\x04" + b"N0" * 5000 + b"N."), budget)
    assert stream.too_long
    assert stream.error
    # Doubling references costs what it takes to read, not what it would expand to.
    bomb = (
        b"\x80\x04]"
        + b"\x94"
        + b"".join(b"h\x00\x86\x94" for _ in range(2))
        + b"N"
        + b"2\x86" * 9000
    )
    start = time.process_time()
    follow(bomb + b".")
    follow(b"\x80\x04" + b"(" * 200_000 + b"t" * 200_000 + b".")
    assert time.process_time() - start < 10


def test_a_length_beyond_the_stream_takes_no_memory():
    for opcode, width in ((b"B", 4), (b"\x8e", 8), (b"\x8d", 8), (b"\x96", 8)):
        length = (2**31 - 1).to_bytes(width, "little")
        assert follow(b"\x80\x05" + opcode + length + b"abc").error


def test_a_joblib_array_that_states_two_sizes_is_no_hiding_place():
    """What joblib would skip is not what the state of the dtype makes of it."""
    dtype = a.call(a.name("numpy", "dtype"), a.text("V4"))
    state = b"(K\x03" + a.text("|") + b"NNN" + a.number(400) + a.number(1) + a.number(0) + b"tb"
    attributes = (
        b"(" + a.text("shape") + a.number(1) + b"\x85" + a.text("dtype") + dtype + state + b"d"
    )
    wrapper = a.name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    data = b"\x80\x04" + wrapper + attributes + b"b" + b"...." + b"."
    stream = follow(data, joblib=True)
    assert "size is not clear" in stream.error
    assert follow(data.replace(a.number(400), a.number(4)), joblib=True).error is None

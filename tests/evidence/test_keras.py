"""Keras files: written by Keras (``keras_files``), and configs put together by hand."""

import base64
import json
import marshal

import pytest

from ngf_hub.evidence.keras import HDF5_MAGIC, inspect_keras

from .corpus_archives import zipped
from .keras_files import LAMBDA, PLAIN

CODE = base64.b64encode(marshal.dumps((lambda x: x + 1).__code__)).decode()


def layer(kind, module="keras.layers", registered=None, **config):
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": kind.lower(), **config},
        "registered_name": registered,
    }


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def model(*layers):
    return layer("Sequential", "keras", layers=list(layers))


def found(content, path):
    path.write_bytes(content)
    return {finding.reason: finding.severity for finding in inspect_keras(path)}


def archive(config):
    return zipped([("metadata.json", b"{}"), ("config.json", json.dumps(config).encode())])


def hdf5(text):
    """Where a legacy file holds its config: somewhere in it, as it stands."""
    return HDF5_MAGIC + b"\0\1\xff" * 900 + text + b"\0" * 700


CASES = {
    "plain": (layer("Dense", units=3, activation="relu"), {}),
    "initialiser": (layer("Dense", kernel=layer("GlorotUniform", "keras.initializers")), {}),
    "an activation by name": (layer("Dense", activation=function("builtins", "my_act")), {}),
    "a loss": (layer("Dense", loss=function("keras.losses", "mean_squared_error")), {}),
    "a Lambda of bytecode": (
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": CODE}}),
        {"dangerous"},
    ),
    "a legacy Lambda of bytecode": (
        {"class_name": "Lambda", "config": {"function": [CODE, None, None], "name": "x"}},
        {"dangerous"},
    ),
    "a Lambda of a known name": (layer("Lambda", function=function("builtins", "f")), {"unusual"}),
    "a legacy Lambda of a name": (
        {"class_name": "Lambda", "config": {"function": "f", "function_type": "function"}},
        {"unusual"},
    ),
    "a function of TensorFlow": (
        {"class_name": "TFOpLambda", "config": {"function": "math.add"}},
        {"unusual"},
    ),
    "a custom layer": (layer("Mine", None, "package>Mine"), {"unusual"}),
    "a layer of another package": (layer("Mine", "mine.layers", "mine>Mine"), {"unusual"}),
    "any module's function": (layer("Dense", activation=function("os", "system")), {"dangerous"}),
    "any module's class": (layer("Popen", "subprocess"), {"dangerous"}),
    "a builtin": (layer("Dense", activation=function("builtins", "eval")), {"dangerous"}),
    "a downloader of Keras": (
        layer("Lambda", function=function("keras.utils", "get_file")),
        {"dangerous", "unusual"},
    ),
    "a switch of Keras": (
        layer("Dense", activation=function("keras.config", "enable_unsafe_deserialization")),
        {"dangerous"},
    ),
}


@pytest.mark.parametrize("write", [archive, lambda config: hdf5(json.dumps(config).encode())])
@pytest.mark.parametrize("case", CASES)
def test_configs(case, write, tmp_path):
    item, severities = CASES[case]
    reasons = found(write(model(layer("InputLayer"), model(item))), tmp_path / "m.keras")
    assert set(reasons.values()) == set(severities), reasons
    assert all(reason.isprintable() for reason in reasons)


def test_files_of_keras(tmp_path):
    assert found(PLAIN, tmp_path / "plain.h5") == {}
    reasons = found(LAMBDA, tmp_path / "lambda.h5")
    assert "it has a Lambda layer (evil), which runs bytecode of its own" in reasons
    assert set(reasons.values()) == {"dangerous"}


def test_another_spelling_is_no_hiding_place(tmp_path):
    text = json.dumps(model(CASES["a legacy Lambda of bytecode"][0]))
    escaped = text.replace("Lambda", "L\\u0061mbda").replace("class_name", "cl\\u0061ss_name")
    spaced = json.dumps(json.loads(text), indent=8)
    for spelling in (escaped, spaced, escaped[:-3]):
        assert "dangerous" in found(hdf5(spelling.encode()), tmp_path / "m.h5").values()
    assert (
        "dangerous"
        in found(zipped([("config.json", escaped.encode())]), tmp_path / "m.keras").values()
    )


def test_archives_that_hide_something(tmp_path):
    path = tmp_path / "m.keras"
    good = json.dumps(model(layer("Dense"))).encode()
    assert "dangerous" in found(zipped([("config.json", b"{cut")]), path).values()
    assert "dangerous" in found(zipped([("other.json", good)]), path).values()
    assert "dangerous" in found(b"MZ".join([archive({})[:4], archive({})[4:]]), path).values()
    assert found(zipped([("config.json", b'{"a":"' + b" " * (1 << 25) + b'"}')]), path) == {
        "its config.json is too long to be looked into": "not scanned"
    }


def test_other_files(tmp_path):
    assert found(b"", tmp_path / "m.h5") == {"it is empty": "unusual"}
    assert set(found(b"something else", tmp_path / "m.h5").values()) == {"unusual"}
    # Weights alone have no config, and nothing in them is mistaken for one.
    assert found(hdf5(bytes(range(256)) * 50), tmp_path / "m.weights.h5") == {}


def test_work_is_bounded(tmp_path):
    text = b'{"name":' * 200_000
    assert found(HDF5_MAGIC + text, tmp_path / "m.h5") == {
        "it holds too much text to be looked through": "not scanned"
    }
    nested = b'{"config":' + b"[" * 500_000
    assert found(HDF5_MAGIC + nested, tmp_path / "m.h5") == {}

"""Headers against the config."""

from ngf_hub.adapters import ModelSource
from ngf_hub.evidence.files import FileFinding
from ngf_hub.evidence.safetensors_header import Header, TensorInfo
from ngf_hub.evidence.weights_fit import check_fit, from_loading


def headers(*shapes, file="model.safetensors"):
    tensors = {f"t{i}": TensorInfo("F32", shape) for i, shape in enumerate(shapes)}
    return {file: Header(tensors)}


def reasons(config, found, index=None):
    return [finding.reason for finding in check_fit(config, found, index)]


def test_what_fits_is_not_mentioned():
    good = headers((64, 3, 7, 7), (10, 512), (10,))
    for config in (
        {"num_classes": 10, "label_names": list("abcdefghij")},
        {"id2label": {str(i): "x" for i in range(10)}},
        {"num_labels": 10},
        {"pretrained_cfg": {"num_classes": 10}},
        {"pretrained_cfg": {"num_classes": 9, "label_offset": 1}},
        {"num_classes": 1000, "model_args": {"num_classes": 10}},
        {},
        {"num_classes": None, "id2label": 3, "pretrained_cfg": "x"},
    ):
        assert reasons(config, good) == []


def test_a_head_of_another_size():
    assert reasons({"num_classes": 12}, headers((10, 512), (10,))) == [
        "it states 12 classes, and no head among the weights has 12 rows"
    ]
    # Other layers with as many rows do not stand for a head.
    found = {
        "m": Header(
            {"stem.weight": TensorInfo("F32", (12, 3)), "fc.weight": TensorInfo("F32", (10, 4))}
        )
    }
    assert len(reasons({"num_classes": 12}, found)) == 1
    assert reasons({"num_classes": 10}, found) == []
    assert reasons({"num_classes": 12}, {}) == []
    names = {"num_classes": 10, "label_names": ["a", "b"]}
    assert reasons(names, headers((10, 4))) == ["it has 2 class names for 10 classes"]


def test_an_index_that_contradicts_its_files():
    found = headers((10, 4), (3,), file="one") | headers((5,), file="two")
    good = {"weight_map": {"t0": "one", "t1": "one"}}
    first = {"one": found["one"]}
    assert reasons({}, first, good) == []
    lost = {"weight_map": {**good["weight_map"], "gone": "one"}}
    assert reasons({}, first, lost) == ["1 tensors are not in the file that it names, first gone"]
    assert "are not in it, first t0" in reasons({}, found, good)[0]
    for broken in ({}, [], {"weight_map": 3}, {"weight_map": {"t0": ["x"]}}):
        reasons({}, first, broken)


def test_what_loading_tells():
    notes = ("3 tensors of the file are not used by the model", "read from the cache")
    (finding,) = from_loading(ModelSource("acme/net", files={"net.bin": "0" * 64}, notes=notes))
    assert finding == FileFinding("net.bin", notes[0], "unusual")
    assert from_loading(ModelSource("acme/net")) == []

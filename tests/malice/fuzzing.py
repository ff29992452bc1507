"""What readers of files are fuzzed with: anything, and good files with something else in them.

Each property takes a Hypothesis example and a folder, and fails by an assertion. The tests
run few examples; ``python -m benchmarks.fuzz`` runs many.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save_file

from ngf_hub.adapters import load_model
from ngf_hub.bundle import check_card
from ngf_hub.card import render_card
from ngf_hub.errors import NgfHubError
from ngf_hub.licences import licence_of
from ngf_hub.report import Report
from ngf_hub.scan_report import ScanReport
from ngf_hub.triggers.base import FAMILIES, load_folder
from tests import report_samples, scan_samples

MOST = 1 << 20

TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x9b\u202e\n\r-:#&*!|>%@`'\"{}[]<\\\0")),
    max_size=30,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    TEXT,
    st.sampled_from(["vit", "patch", "../../x", "/etc/passwd", 2**31, 2**63, -1, 1e308, ""]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def paths_within(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything in a JSON value lies."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    found = [path] if path else []
    for key, part in inside:
        found += paths_within(part, (*path, key))
    return found


@st.composite
def spoilt(draw: Callable[..., Any], value: Any) -> Any:
    """A good JSON value in which some entries are removed, added, or something else."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, 4))):
        paths = paths_within(value)
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        place = value
        for key in path[:-1]:
            place = place[key]
        if draw(st.booleans()):
            place[path[-1]] = draw(JSON)
        elif isinstance(place, dict) and draw(st.booleans()):
            place[draw(TEXT)] = draw(JSON)
        else:
            del place[path[-1]]
    return value


def texts(value: Any) -> st.SearchStrategy[bytes]:
    """Bytes for a JSON file: spoilt ones, any JSON, cut ones, and any bytes at all."""
    written = spoilt(value).map(lambda v: json.dumps(v).encode())
    cut = st.tuples(written, st.integers(0, 400)).map(lambda pair: pair[0][: pair[1]])
    return st.one_of(
        written, written, JSON.map(lambda v: json.dumps(v).encode()), cut, st.binary(max_size=60)
    )


def users(read: Callable[[], Any]) -> Any:
    """What a reader gives; ``None`` where it refuses in one bounded printable line."""
    try:
        return read()
    except NgfHubError as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert 0 < len(line) < 1000, len(line)
        return None


REPORT = report_samples.report().model_dump(mode="json")
SCAN = scan_samples.report().model_dump(mode="json")
TRIGGERS = {
    "patch": {"place": "top-left", "margin": 0, "reference": 32},
    "blend": {"ratio": 0.2},
    "additive": {"scale": 1.0},
    "warp": {"strength": 0.5},
    "sig": {"amplitude": 0.1, "frequency": 6},
    "quantise": {"depth": 3, "dithering": True},
    "composite": {"source": 0, "partner": 1},
}
TENSORS = {
    "pattern": (3, 2, 2),
    "opacity": (1, 2, 2),
    "picture": (3, 4, 4),
    "grid": (2, 4, 4),
    "partners": (2, 3, 4, 4),
}
TRIGGER = st.sampled_from(sorted(TRIGGERS)).flatmap(
    lambda family: texts(
        {
            "family": family,
            "target": 1,
            "parameters": TRIGGERS[family],
            "origin": "recovered",
            "made_for": {"size": [8, 8], "num_classes": 3, "class_names": None, "dataset": "x"},
        }
    )
)
SHAPES = st.dictionaries(
    st.sampled_from([*TENSORS, "network.last.bias"]),
    st.tuples(
        st.lists(st.integers(0, 5), max_size=4), st.sampled_from(["float32", "uint8", "int64"])
    ),
    max_size=3,
)
CARD = {"license": "mit", "tags": ["a"], "model-index": [{"name": "x", "results": []}]}
CONFIGS = {
    "timm": {
        "architecture": "test_resnet",
        "num_classes": 3,
        "label_names": ["a", "b", "c"],
        "model_args": {"in_chans": 3},
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "interpolation": "bilinear",
            "crop_pct": 0.9,
            "num_classes": 3,
        },
    },
    "transformers": {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "image_size": 8,
        "patch_size": 4,
        "num_labels": 3,
        "id2label": {"0": "a"},
    },
}


def report(content: bytes, folder: Path) -> None:
    """``report.json``: read or refused; what was read is written and read again unchanged."""
    (folder / "report.json").write_bytes(content)
    found = users(lambda: Report.read(folder))
    if found is not None:
        found.write(folder)
        assert (folder / "report.json").stat().st_size < MOST
        again = Report.read(folder)
        again.write(folder)
        assert Report.read(folder) == again


def scan(content: bytes, folder: Path) -> None:
    """``scan.json``: likewise."""
    (folder / "scan.json").write_bytes(content)
    found = users(lambda: ScanReport.read(folder))
    if found is not None:
        found.write(folder)
        assert (folder / "scan.json").stat().st_size < MOST
        again = ScanReport.read(folder)
        again.write(folder)
        assert ScanReport.read(folder) == again


def trigger(given: tuple[bytes, dict[str, Any]], folder: Path) -> None:
    """A trigger's folder: what was read can be put on images, or says that it does not fit."""
    content, more = given
    tensors = {name: torch.ones(shape) for name, shape in TENSORS.items()}
    tensors["partners"] = tensors["partners"].to(torch.uint8)
    tensors |= {
        name: torch.ones(shape).to(getattr(torch, kind)) for name, (shape, kind) in more.items()
    }
    save_file(tensors, folder / "trigger.safetensors")
    (folder / "trigger.json").write_bytes(content)
    found = users(lambda: load_folder(folder))
    if found is None:
        return
    assert found.family in FAMILIES
    pixels = torch.full((2, 3, 8, 8), 0.5)
    triggered = users(lambda: found.apply(pixels))
    if triggered is not None:
        assert triggered.shape == pixels.shape
        assert triggered.isfinite().all()
    found.save(folder)
    again = load_folder(folder)
    assert (again.family, again.target, again.origin) == (found.family, found.target, found.origin)
    assert again.parameters() == found.parameters()


def config(content: bytes, folder: Path) -> None:
    """``config.json`` beside weights that fit none: always refused in one line."""
    if not (folder / "model.safetensors").exists():
        save_file({"fc.weight": torch.ones(3, 4)}, folder / "model.safetensors")
        (folder / "preprocessor_config.json").write_text(
            '{"image_processor_type": "ViTImageProcessor"}'
        )
    (folder / "config.json").write_bytes(content)
    users(lambda: load_model(folder))


def card(given: tuple[bytes, str], folder: Path) -> None:
    """``README.md``: its licence is a line or none; as a card it parses or is refused."""
    content, text = given
    (folder / "README.md").write_bytes(
        b"---\n" + content + b"\n---\n" + text.encode("utf-8", "replace")
    )
    licence = licence_of(folder)
    assert licence is None or (licence.isprintable() and len(licence) <= 100)
    users(lambda: check_card(folder, report_samples.report()))


def rendered(names: list[str], folder: Path) -> None:
    """The card of a report with any names is one that is taken as its own, and bounded."""
    first, second, third = names
    made = report_samples.report(
        model=report_samples.model(
            name=first, commit=None, licence=second, class_names=[third] * 10
        ),
        data=report_samples.data(name=second, revision=None, notes=[third]),
        warnings=[first],
    )
    text = str(render_card(made))
    assert len(text) < MOST
    (folder / "README.md").write_text(text, encoding="utf-8")
    check_card(folder, made)


PROPERTIES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]] = {
    "report.json": (texts(REPORT), report),
    "scan.json": (texts(SCAN), scan),
    "trigger folder": (st.tuples(TRIGGER, SHAPES), trigger),
    "config.json of timm": (texts(CONFIGS["timm"]), config),
    "config.json of transformers": (texts(CONFIGS["transformers"]), config),
    "card": (
        st.tuples(
            st.one_of(
                TEXT.map(lambda t: t.encode("utf-8", "replace")),
                texts(CARD),
            ),
            TEXT,
        ),
        card,
    ),
    "card that is rendered": (st.lists(TEXT, min_size=3, max_size=3), rendered),
}

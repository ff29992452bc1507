"""Safetensors whose headers lie, by the name of weights and of a trigger."""

from __future__ import annotations

import json
import shutil

import pytest

from ngf_hub.adapters import load_model
from ngf_hub.triggers import make_trigger

from .bounded import attempt, command

DATA = b"\0" * 256


def headed(header, data=DATA, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(begin, end, shape=None, dtype="F32"):
    shape = [(end - begin) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def entries(count):
    return ",".join(
        f'"{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(count)
    )


LIES = {
    "overlapping": headed({"fc.weight": tensor(0, 128), "fc.bias": tensor(64, 192)}),
    "the same place twice": headed({"fc.weight": tensor(0, 256), "fc.bias": tensor(0, 256)}),
    "beyond the file": headed({"fc.weight": tensor(0, 1 << 40)}),
    "backwards": headed({"fc.weight": tensor(128, 0, [0])}),
    "negative": headed({"fc.weight": tensor(-256, 0, [64])}),
    "a hole": headed({"fc.weight": tensor(0, 64), "fc.bias": tensor(128, 256)}),
    "a shape that overflows": headed({"fc.weight": tensor(0, 256, [1 << 62, 1 << 62])}),
    "of another shape": headed({"fc.weight": tensor(0, 256, [3, 3])}),
    "of a type that is none": headed({"fc.weight": tensor(0, 256, [64], "F999")}),
    "a header of 2^63 bytes": headed({}, length=(1 << 63) - 1),
    "a header beyond the file": headed({"fc.weight": tensor(0, 256)}, length=1 << 30),
    "a header beyond the format": headed(b"{" + b" " * 101_000_000 + b"}", b""),
    "a header of many tensors": headed(f"{{{entries(100_000)}}}".encode(), b""),
    "deep": headed(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "one name twice": headed(
        b'{"fc.weight":{"dtype":"F32","shape":[64],"data_offsets":[0,256]},'
        b'"fc.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    ),
    "a list": headed([]),
    "nothing": b"",
    "less than a length": b"\1\2\3",
    "control characters": headed({"\x1b[31mfc\n\u202e": tensor(0, 1 << 40)}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_model(lie, copy, tmp_path):
    folder = copy("timm")
    (folder / "model.safetensors").write_bytes(LIES[lie])
    outcome = attempt(lambda: load_model(folder), tmp_path, memory=1 << 30)
    outcome.refused("model.safetensors" if lie != "a header of many tensors" else "")
    assert outcome.grown < 512 << 20


def test_scan_says_so(copy, tmp_path):
    folders = {}
    for lie in LIES:
        folders[lie] = copy("timm")
        (folders[lie] / "model.safetensors").write_bytes(LIES[lie])

    def scan_all():
        return {
            lie: command("scan", folder, "-e", "patch", "--device", "cpu")["code"]
            for lie, folder in folders.items()
        }

    codes = attempt(scan_all, tmp_path, seconds=60).done(seconds=60)
    # 1: flagged; 2: one line says why it cannot be scanned. Never 0.
    assert set(codes.values()) <= {1, 2}
    for lie in ("overlapping", "the same place twice", "backwards", "one name twice"):
        assert codes[lie] == 1, lie


@pytest.mark.parametrize("lie", sorted({*LIES} - {"a header beyond the format"}))
def test_a_trigger(lie, trigger, tmp_path):
    (trigger / "trigger.safetensors").write_bytes(LIES[lie])
    attempt(lambda: make_trigger(str(trigger), 1), tmp_path).refused(
        "trigger", error="TriggerError"
    )


def test_the_trigger_is_good_otherwise(trigger, tmp_path):
    moved = shutil.copytree(trigger, tmp_path / "moved")
    outcome = attempt(lambda: make_trigger(str(moved), None).target, tmp_path).harmless()
    assert outcome.value == 1

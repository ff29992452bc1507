"""Huge and deep JSON, pipes, devices, and links that lead out of the folder."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from ngf_hub.adapters import load_model
from ngf_hub.bundle import collect
from ngf_hub.data import load_images
from ngf_hub.report import Report
from ngf_hub.scan_report import ScanReport
from ngf_hub.triggers import make_trigger
from tests import scan_samples
from tests.report_samples import output_folder

from .bounded import attempt, command

DEEP = "[" * 100_000
TEXTS = {
    "deep": DEEP,
    "deep and whole": "[" * 500 + "]" * 500,
    "deep objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "many brackets": "[" + "[]," * 300_000 + "[]]",
    "a long number": '{"target": ' + "9" * 200_000 + "}",
    "no end": '{"a": "' + "x" * 1000,
    "no text": "\udcff\udcfe",
    "null": "null",
    "a number": "1e999",
    "empty": "",
}


def write(path, text):
    path.unlink(missing_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def huge(path):
    """Four GiB that take no room."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(4 << 30)


def replaced(path, what):
    if what == "huge":
        huge(path)
    elif what == "a pipe":
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    elif what == "a device":
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/zero")
    elif what == "a loop":
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)
    else:
        write(path, TEXTS[what])


WHATS = [*TEXTS, "huge", "a pipe", "a device", "a loop"]
LIMITS = {"memory": 1 << 30, "seconds": 15.0}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    output_folder(root / "report")
    (root / "scan").mkdir()
    scan_samples.report().write(root / "scan")
    return root


def doors(written, copy, trigger, tmp_path):
    """Every reader of a JSON file of a folder: the file, and what reads it."""
    report = shutil.copytree(written / "report", tmp_path / "report")
    scan = shutil.copytree(written / "scan", tmp_path / "scan")
    timm, vit, processor = copy("timm"), copy("vit"), copy("vit")
    shards = copy("timm")
    (shards / "model.safetensors").rename(shards / "w.safetensors")
    return {
        "report.json": (report / "report.json", lambda: Report.read(report) and None),
        "scan.json": (scan / "scan.json", lambda: ScanReport.read(scan) and None),
        "trigger.json": (trigger / "trigger.json", lambda: make_trigger(str(trigger), 1) and None),
        "trigger.safetensors": (
            trigger / "trigger.safetensors",
            lambda: make_trigger(str(trigger), 1) and None,
        ),
        "timm's config": (timm / "config.json", lambda: load_model(timm) and None),
        "transformers' config": (vit / "config.json", lambda: load_model(vit) and None),
        "processor": (
            processor / "preprocessor_config.json",
            lambda: load_model(processor) and None,
        ),
        "index": (shards / "model.safetensors.index.json", lambda: load_model(shards) and None),
    }


@pytest.mark.parametrize("what", WHATS)
def test_every_reader_of_json(what, written, copy, trigger, tmp_path):
    for door, (path, read) in doors(written, copy, trigger, tmp_path).items():
        if door == "index" and what in ("a pipe", "a device", "a loop"):
            continue  # what is no file is not there, and the weights beside it are read
        before = path.read_bytes() if path.exists() else None
        replaced(path, what)
        outcome = attempt(read, tmp_path, **LIMITS)
        outcome.refused()
        assert outcome.grown < 700 << 20, (door, outcome.grown >> 20)
        assert outcome.seconds < 10, (door, outcome.seconds)
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)


def test_scan_of_huge_and_deep_configs(copy, tmp_path):
    folders = {}
    for what in ("deep", "huge", "a pipe"):
        folders[what] = copy("vit")
        for name in ("config.json", "preprocessor_config.json"):
            replaced(folders[what] / name, what)
            if what == "huge":  # a scan hashes what it keeps a result for, whatever its size
                os.truncate(folders[what] / name, 1 << 28)

    def scan_all():
        return {what: command("scan", folder, "-e", "patch") for what, folder in folders.items()}

    for what, result in attempt(scan_all, tmp_path, **LIMITS).done().items():
        assert result["code"] == 2, (what, result)
        assert "Traceback" not in result["err"]


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "README.md"])
def test_a_config_is_a_link_out_of_the_folder(name, copy, tmp_path):
    """It would be copied into the output, and published."""
    folder = copy("vit")
    secret = tmp_path / "secret"
    secret.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"---\n---\n")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    attempt(lambda: load_model(folder), tmp_path).refused(name, "link")


def test_the_links_of_the_hubs_cache_are_followed(copy, tmp_path):
    cache = tmp_path / "models--acme--x"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(copy("vit").iterdir()):
        path.rename(cache / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    assert attempt(lambda: load_model(snapshot).num_classes, tmp_path).done() == 5


def test_nothing_behind_a_link_is_published(written, tmp_path):
    folder = shutil.copytree(written / "report", tmp_path / "out")
    secret = tmp_path / "secret.png"
    (folder / "before_after.png").rename(secret)
    for name in ("trigger.png", "recovered.png", "id_rsa"):
        (folder / name).symlink_to(secret)
    names = attempt(lambda: sorted(collect(folder).files), tmp_path).done()
    assert not {"trigger.png", "recovered.png", "id_rsa"} & set(names)


def read(folder):
    images = load_images(str(folder), samples=3, judge_samples=3)
    return [len(images.judge), images.info.notes]


def test_an_image_folder_with_pipes_devices_and_loops(copy, tmp_path):
    folder = copy("images")
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "zero.png").symlink_to("/dev/zero")
    (folder / "cat" / "gone.png").symlink_to("nowhere")
    (folder / "cat" / "again").symlink_to(folder)
    (folder / "dog" / "again").symlink_to(folder / "cat")
    (folder / "cat" / "to dogs").symlink_to(folder / "dog")
    step = folder / "frog"
    for _ in range(40):  # two to the 40 ways to the last
        (step / "next").mkdir()
        (step / "other").symlink_to("next")
        step = step / "next"
    outcome = attempt(lambda: read(folder), tmp_path, **LIMITS).harmless()
    assert not outcome.error, outcome.message


def test_links_out_of_an_image_folder_are_told(copy, tmp_path):
    folder = copy("images")
    (folder / "cat" / "0.png").rename(tmp_path / "secret.png")
    (folder / "cat" / "0.png").symlink_to(tmp_path / "secret.png")
    notes = attempt(lambda: read(folder), tmp_path).done()[1]
    assert any("1 images are links to files outside" in note for note in notes)


@pytest.mark.parametrize("name", ["../secret/0.png", "{outside}/0.png", "file://{outside}/0.png"])
def test_metadata_names_images_elsewhere(name, copy, tmp_path):
    outside = tmp_path / "secret"
    outside.mkdir()
    folder = tmp_path / "images"
    folder.mkdir()
    for n, path in enumerate(sorted(copy("images").glob("*/*.png"))[:8]):
        path.rename(folder / f"{n}.png")
    (folder / "0.png").rename(outside / "0.png")
    names = [*(f"{n}.png" for n in range(1, 8)), name.format(outside=outside)]
    lines = "".join(f"{name},{n % 2}\n" for n, name in enumerate(names))
    (folder / "metadata.csv").write_text(f"file_name,label\n{lines}")
    attempt(lambda: read(folder), tmp_path).refused("file_name", error="DataError")


def test_an_output_folder_that_is_a_trap(copy, harmless, tmp_path):
    """A link in the place where results go: nothing is written behind it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("mine")
    out = shutil.copytree(harmless / "timm", tmp_path / "out")
    (out / "report.json").write_text(json.dumps({"tool": "ngf-hub"}))
    (out / "trigger").symlink_to(elsewhere)
    result = attempt(
        lambda: command(
            "purify",
            copy("timm"),
            "-d",
            harmless / "images",
            "--samples",
            9,
            "--method",
            "ngf",
            "--device",
            "cpu",
            "--output",
            out,
        ),
        tmp_path,
    ).done()
    assert result["code"] == 2
    assert [path.name for path in elsewhere.iterdir()] == ["kept"]

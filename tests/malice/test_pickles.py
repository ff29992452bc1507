"""Pickles in every disguise, through every door: none is ever run."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ngf_hub.adapters import load_model
from ngf_hub.data import load_images
from ngf_hub.errors import NgfHubError
from ngf_hub.triggers import make_trigger
from tests.data.pictures import encode, picture
from tests.evidence import corpus

from .bounded import attempt, command

pytestmark = pytest.mark.filterwarnings("ignore")


class Runs:
    """A pickle of this makes a file when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def tarred(members, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def dumped_by_joblib(content):
    import joblib

    file = io.BytesIO()
    joblib.dump(content, file, compress=3)
    return file.getvalue()


def as_object_array(content):
    file = io.BytesIO()
    np.save(file, np.array([content], dtype=object), allow_pickle=True)
    return file.getvalue()


def disguises(mark):
    """The payload by the name of what it is dressed as."""
    evil = {"weight": torch.zeros(2), "x": Runs(mark)}
    raw = pickle.dumps(evil)
    legacy = {
        "sys_info": pickle.dumps({"protocol_version": 1000}),
        "pickle": raw,
        "storages": pickle.dumps(0),
        "tensors": pickle.dumps(0),
    }
    return {
        "bare": raw,
        "protocol 0": pickle.dumps(evil["x"], 0),
        "zip": saved(evil),
        "before 1.6": saved(evil, _use_new_zipfile_serialization=False),
        "legacy tar": tarred(legacy),
        "tar.gz": tarred(legacy, "w:gz"),
        "zip of zip": zipped({"model/data.pkl": saved(evil)}),
        "deflated zip": zipped({"model/data.pkl": raw, "model/version": b"3"}),
        "pickle in a pickle": saved({"weight": torch.zeros(2), "more": raw, "x": evil["x"]}),
        "joblib": dumped_by_joblib(evil["x"]),
        "object array": as_object_array(evil["x"]),
        "a header that lies": len(raw).to_bytes(8, "little") + raw,
        "behind a picture": encode(picture(1)) + raw,
    }


NAMES = list(disguises("x"))
WEIGHTS = ["pytorch_model.bin", "model.pth", "checkpoint.pth.tar", "model.safetensors"]


@pytest.fixture
def mark(tmp_path):
    path = tmp_path / "mark"
    yield path
    assert not path.exists(), "it was run"


def wearing(folder, name, content):
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / name).write_bytes(content)
    return folder


def refusal(action):
    """The line with which an action is refused."""
    try:
        action()
    except NgfHubError as error:
        return f"{type(error).__name__}: {error}"
    return "not refused"


def test_the_payload_is_no_dud(tmp_path):
    for disguise in ("bare", "protocol 0"):
        content = disguises(tmp_path / "fired")[disguise]
        assert attempt(lambda content=content: pickle.loads(content) is None).ran
        assert (tmp_path / "fired").exists()
        (tmp_path / "fired").unlink()


@pytest.mark.parametrize("kind", ["timm", "vit"])
def test_models(kind, copy, mark, tmp_path):
    folders = {
        f"{disguise} as {name}": wearing(copy(kind), name, content)
        for disguise, content in disguises(mark).items()
        for name in WEIGHTS
    }

    def load_all():
        return {name: refusal(lambda f=folder: load_model(f)) for name, folder in folders.items()}

    refused = attempt(load_all, tmp_path).done()
    for name, line in refused.items():
        assert line.startswith(("UnsafeFileError: ", "ModelError: ")), (name, line)
        assert line.isprintable(), name
        assert name.split(" as ")[1] in line, (name, line)


def test_the_whole_corpus_by_the_names_of_weights(copy, mark, tmp_path):
    folders = {}
    for case in corpus.cases(hostile=True):
        place = tmp_path / "made" / case.name
        place.mkdir(parents=True)
        path, _ = corpus.make(case, place)
        for name in ("pytorch_model.bin", "model.safetensors"):
            folder = copy("timm")
            (folder / "model.safetensors").unlink()
            shutil.copyfile(path, folder / name)
            folders[f"{case.name} as {name}"] = folder

    def load_all():
        return {name: refusal(lambda f=folder: load_model(f)) for name, folder in folders.items()}

    refused = attempt(load_all, tmp_path).done()
    assert len(refused) > 150
    assert [name for name, line in refused.items() if line == "not refused"] == []
    assert not list((tmp_path / "made").glob("*/mark"))


def test_a_pickle_beside_safetensors_is_not_looked_at_by_loading(copy, mark, tmp_path):
    folder = copy("timm")
    (folder / "pytorch_model.bin").write_bytes(disguises(mark)["bare"])
    assert attempt(lambda: load_model(folder).num_classes, tmp_path).done() == 3


SHOWN = ["bare", "zip", "before 1.6", "legacy tar", "zip of zip", "joblib", "object array"]


def test_scan_flags_them_and_purify_refuses(copy, harmless, mark, tmp_path):
    content = disguises(mark)
    folders = {name: wearing(copy("timm"), "pytorch_model.bin", content[name]) for name in SHOWN}
    (renamed := copy("timm")).joinpath("model.safetensors").write_bytes(content["zip"])
    folders["renamed"] = renamed
    (beside := copy("timm")).joinpath("training_args.bin").write_bytes(content["bare"])
    (beside / "model.safetensors").write_bytes(b"")

    def run_all():
        # An evidence that needs images, of which there are none: the files are what is looked at.
        scans = {
            name: command("scan", folder, "-e", "patch", "--json", "--device", "cpu")
            for name, folder in {**folders, "beside": beside}.items()
        }
        tuned = {
            name: command(
                "purify",
                folder,
                "--dataset",
                harmless / "images",
                "--samples",
                9,
                "--output",
                tmp_path / "out",
                "--device",
                "cpu",
            )
            for name, folder in folders.items()
        }
        return [scans, tuned]

    scans, tuned = attempt(run_all, tmp_path, seconds=60).done(seconds=60)
    for name, result in scans.items():
        assert result["code"] == 1, (name, result)
        assert "unsafe files" in result["out"], name
    for name, result in tuned.items():
        assert result["code"] == 2, (name, result)
        assert [line.startswith("Error: ") for line in result["err"].splitlines()][-1:] or name
        assert result["err"].count("Error: ") == 1, (name, result["err"])
        assert "Traceback" not in result["err"]
    assert not (tmp_path / "out").exists()


def test_triggers(trigger, mark, tmp_path):
    folders, pictures = {}, {}
    for disguise, content in disguises(mark).items():
        for name in ("trigger.safetensors", "trigger.json"):
            folder = shutil.copytree(trigger, tmp_path / f"{disguise} {name}")
            (folder / name).write_bytes(content)
            folders[f"{disguise} as {name}"] = folder
        if disguise != "behind a picture":
            pictures[disguise] = tmp_path / f"{disguise}.png"
            pictures[disguise].write_bytes(content)

    def make_all():
        given = {**folders, **{f"{name} as a picture": path for name, path in pictures.items()}}
        return {
            name: refusal(lambda p=path: make_trigger(str(p), 1)) for name, path in given.items()
        }

    for name, line in attempt(make_all, tmp_path).done().items():
        assert line.startswith("TriggerError: "), (name, line)
        assert line.isprintable(), name


def test_datasets(copy, mark, tmp_path):
    content = disguises(mark)
    folders = {}
    for disguise in ("bare", "joblib", "zip", "zip of zip", "object array"):
        folder = copy("images")
        for n in range(24):
            for path in folder.glob(f"*/{n}.png"):
                path.write_bytes(content[disguise])
        folders[f"{disguise} for pictures"] = folder
        for ending in ("parquet", "arrow", "tar", "pkl", "zip"):
            place = tmp_path / f"{disguise} {ending}"
            place.mkdir()
            (place / f"train.{ending}").write_bytes(content[disguise])
            folders[f"{disguise} as {ending}"] = place
    rows = [{"bytes": encode(picture(n)), "path": None} for n in range(9)]
    table = pa.table({"image": rows, "label": list(range(9))})
    # What pyarrow before 14.0.1 unpickled (CVE-2023-47248).
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": content["bare"],
    }
    schema = pa.schema([table.schema.field(0), pa.field("label", pa.int64(), metadata=extension)])
    pq.write_table(table.cast(schema), tmp_path / "extension.parquet")
    members = {
        f"{n}.{kind}": data
        for n in range(9)
        for kind, data in (("png", encode(picture(n))), ("pyd", content["bare"]))
    }
    (tmp_path / "members.tar").write_bytes(tarred(members))

    def read(path):
        images = load_images(str(path), samples=2, judge_samples=2)
        return [images.tune[0][1], images.judge[0][1]]

    def read_all():
        return {name: refusal(lambda p=path: read(p)) for name, path in folders.items()}

    for name, line in attempt(read_all, tmp_path, seconds=60).done(seconds=60).items():
        assert line.startswith("DataError: "), (name, line)
        assert line.isprintable(), name
    for name in ("extension.parquet", "members.tar"):
        outcome = attempt(lambda name=name: read(tmp_path / name), tmp_path).harmless()
        assert not outcome.error or "NgfHubError" in outcome.error, outcome.message

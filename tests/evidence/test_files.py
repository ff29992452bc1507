"""Pickles that must pass, and those that must not, without ever being unpickled."""

import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from ngf_hub.evidence import scan_pickle

STATE = collections.OrderedDict(
    weight=torch.randn(3, 4),
    half=torch.zeros(2, dtype=torch.float16),
    brain=torch.zeros(2, dtype=torch.bfloat16),
    counter=torch.tensor(7),
    mask=torch.ones(3, dtype=torch.bool),
    parameter=torch.nn.Parameter(torch.zeros(2)),
)


def reasons(path):
    return [finding.reason for finding in scan_pickle(path)]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "model.ckpt", "weights"])
@pytest.mark.parametrize("content", [STATE, {"state_dict": STATE, "epoch": 3, "best": 0.5}])
def test_checkpoints_of_tensors_pass(content, name, zipped, tmp_path):
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert scan_pickle(tmp_path / name) == []


class Runs:
    """Its pickle calls something."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


# None of these is ever called: if one were, the file that it names would appear.
CALLS = {
    "os.system": (os.system, "touch {}"),
    "eval": (eval, "open('{}', 'w')"),
    "getattr": (getattr, "text", "upper"),
    "open": (open, "{}", "w"),
    "an allowed module's other function": (torch.load, "{}"),
    "a class of the same module": (torch.nn.Linear, 2, 2),
    "numpy": (np.zeros, 3),
    "print": (print, "hello"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", CALLS)
def test_calls_are_found_and_not_made(case, zipped, tmp_path):
    function, *arguments = CALLS[case]
    mark = tmp_path / "mark"
    arguments = [a.format(mark) if isinstance(a, str) else a for a in arguments]
    path = tmp_path / "model.bin"
    content = {**STATE, "x": Runs(function, *arguments)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert any("would import" in reason for reason in reasons(path))
    assert scan_pickle(path)[0].file == "model.bin"
    assert not mark.exists()


def test_each_global_is_named(tmp_path):
    torch.save({**STATE, "x": Runs(os.system, "true")}, tmp_path / "m.bin")
    (reason,) = reasons(tmp_path / "m.bin")
    assert reason in ("it would import posix.system", "it would import nt.system")


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pth")
    assert any("torch.nn.modules.linear.Linear" in reason for reason in reasons(tmp_path / "m.pth"))


def test_torchscript_is_refused(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2)).save(tmp_path / "m.pt")
    assert "it is TorchScript, which holds code" in reasons(tmp_path / "m.pt")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_refused(protocol, tmp_path):
    """Not of torch.save: nothing says that the stream that was scanned is the one that is read."""
    path = tmp_path / "m.bin"
    path.write_bytes(pickle.dumps(Runs(os.system, "true"), protocol=protocol))
    assert any("would import" in reason for reason in reasons(path))
    path.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    assert reasons(path) == ["no tensors were found in it"]


def test_a_second_stream_behind_the_first_is_read_too(tmp_path):
    path = tmp_path / "m.bin"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    good = path.read_bytes()
    evil = pickle.dumps(Runs(os.system, "true"), protocol=2)
    path.write_bytes(evil + good)
    assert reasons(path)


def rewritten(source, target, change):
    """A copy of a zip archive, with members changed on the way."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        members = {info.filename: old.read(info) for info in old.infolist()}
        for name, data in change(members):
            new.writestr(name, data)


def folder_name(members):
    return next(iter(members)).split("/")[0]


EVIL = pickle.dumps({"a": 1, "x": Runs(os.system, "true")}, protocol=2)
CHANGES = {
    "a pickle beside": lambda m: [*m.items(), (f"{folder_name(m)}/extra.pkl", EVIL)],
    "a pickle in another folder": lambda m: [*m.items(), ("other/sub/data.pkl", EVIL)],
    "two of one name": lambda m: [*m.items(), (f"{folder_name(m)}/data.pkl", EVIL)],
    "none": lambda m: [(k, v) for k, v in m.items() if not k.endswith("data.pkl")],
    "in a second folder": lambda m: [*m.items(), ("second/data.pkl", EVIL)],
    "code": lambda m: [*m.items(), (f"{folder_name(m)}/code/a.py", b"import os")],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", CHANGES)
def test_archives_that_torch_does_not_write_are_refused(case, tmp_path):
    torch.save(STATE, tmp_path / "good.bin")
    rewritten(tmp_path / "good.bin", tmp_path / "evil.bin", CHANGES[case])
    assert scan_pickle(tmp_path / "evil.bin")


def test_an_unchanged_copy_passes(tmp_path):
    torch.save(STATE, tmp_path / "good.bin")
    rewritten(tmp_path / "good.bin", tmp_path / "copy.bin", lambda m: m.items())
    assert scan_pickle(tmp_path / "copy.bin") == []


def test_broken_files_are_refused(tmp_path):
    torch.save(STATE, tmp_path / "good.bin")
    good = (tmp_path / "good.bin").read_bytes()
    pickled = good.index(b"torch._utils")
    broken = {
        "cut": good[: len(good) // 2],
        "empty": b"",
        "random": bytes(range(256)) * 8,
        "text": b"version https://git-lfs.github.com/spec/v1",
        "seven zip": b"7z\xbc\xaf\x27\x1c" + bytes(64),
        "another byte in the pickle": good[:pickled] + b"T" + good[pickled + 1 :],
        "only the start of a zip": b"PK\x03\x04",
    }
    for name, data in broken.items():
        path = tmp_path / "m.bin"
        path.write_bytes(data)
        assert scan_pickle(path), name


def test_reasons_are_safe_to_print(tmp_path):
    path = tmp_path / "m.bin"
    stream = b"\x80\x02c\x1b[31mos\nsys\x07tem\n)R."
    path.write_bytes(stream)
    for reason in reasons(path):
        assert reason.isprintable()

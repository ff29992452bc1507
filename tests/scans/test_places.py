"""Documents and folders: told by their names, written whole, and never over what others wrote."""

import json

import pytest
import torch

from ngf_hub.errors import NgfHubError
from ngf_hub.scans.output import Result
from ngf_hub.scans.places import Outputs
from ngf_hub.scans.store import Key, ScanStore
from ngf_hub.triggers import load_folder
from tests import scan_samples as made


@pytest.mark.parametrize(
    ("name", "asked", "kind"),
    [
        ("a.json", None, "json"),
        ("a.SARIF", None, "sarif"),
        ("a.sarif.json", None, "sarif"),
        ("a.html", None, "html"),
        ("a.json", "sarif", "sarif"),
        ("folder", "sarif", None),
        ("v1.2", None, None),
    ],
)
def test_files_are_told_by_their_endings(tmp_path, name, asked, kind):
    outputs = Outputs.of([tmp_path / name], asked)
    assert outputs.formats == ({kind} if kind else set())
    assert outputs.places == [tmp_path / name]


def test_files_of_others_are_not_overwritten(tmp_path):
    results = [made.result(tmp_path / "result")]
    for name in ("a.json", "a.sarif", "a.html"):
        outputs = Outputs.of([tmp_path / name])
        for _ in range(2):  # the second time it is a scan's own
            outputs.check([])
            outputs.write(results, many=False)
        (tmp_path / name).write_text('{"tool": "ngf-hub", "kind": "purify", "runs": []}')
        with pytest.raises(NgfHubError, match="no scan wrote it"):
            outputs.check([])
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]


def test_a_folder_of_many_holds_each_and_a_list(tmp_path):
    same_name = made.result(tmp_path / "b", made.report(name="ACME/resnet-cifar"))
    results = [made.result(tmp_path / "a"), same_name, Result(made.failure())]
    out = tmp_path / "out"
    for _ in range(2):
        outputs = Outputs.of([out])
        outputs.check([])
        outputs.write(results, many=True)
    assert sorted(path.name for path in out.iterdir()) == ["models", "scan.html", "scans.json"]
    assert sorted(path.name for path in (out / "models").iterdir()) == [
        "ACME--resnet-cifar-2", "acme--resnet-cifar",
    ]  # fmt: skip
    listed = json.loads((out / "scans.json").read_text())
    assert listed["summary"] == {"models": 3, "backdoored": 2, "failed": 1}
    trigger = load_folder(out / "models" / "acme--resnet-cifar" / "trigger")
    assert trigger.origin == "recovered"
    assert torch.is_tensor(trigger.pattern)


def test_what_the_store_keeps_beside_is_not_written(tmp_path):
    key = Key("acme/model", {"seed": 0})
    kept = ScanStore(tmp_path / "scans").keep(key, made.scanned())
    Outputs.of([tmp_path / "out"]).write([kept], many=False)
    assert (kept.folder / "key.json").exists()
    assert not (tmp_path / "out" / "key.json").exists()

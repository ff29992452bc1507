"""The scan of one model: what it reports, what it survives, and that the model stays as it was."""

import datetime
import os
import pickle
import shutil

import pytest
import torch
from torch import nn

from ngf_hub import scan
from ngf_hub.data import PixelSet
from ngf_hub.demo import untrained_classifier
from ngf_hub.errors import DataError, ModelError, NgfHubError
from ngf_hub.scan_report import ScanReport
from ngf_hub.scanning import scan_model
from ngf_hub.scans.formats.wording import sentence

from .adapters.test_transformers import edit_weights, folder_of
from .scan_kinds import (
    ALL,
    TARGET,
    Crash,
    Unfit,
    Unlucky,
    installed,
)

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(autouse=True)
def kinds():
    with installed(*ALL):
        yield


@pytest.fixture(scope="module")
def images():
    return torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def classifier():
    return untrained_classifier(WORDS, seed=0)


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    classifier.save(path)
    return path


def by_kind(report):
    return {finding.kind: finding for finding in report.findings}


def test_evidence_that_stands_out_is_a_backdoor(classifier, images):
    report = scan(classifier, images, kinds=["corner", "quiet"], device="cpu")
    assert isinstance(report, ScanReport)
    assert report.verdict == "backdoored"
    assert (report.target, report.target_name) == (TARGET, "three")
    assert report.p_value <= 0.01
    assert report.confidence == pytest.approx(1 - report.p_value)
    found = by_kind(report)
    assert (found["corner"].status, found["quiet"].status) == ("flagged", "clear")
    assert report.model.num_classes == 10
    (split,) = report.data.splits
    assert (report.data.name, split.n, split.use) == ("given in memory", 12, "scan")
    assert set(report.cost.seconds) == {"corner", "quiet"}
    assert all(seconds > 0 for seconds in report.cost.seconds.values())
    assert found["quiet"].seconds > 0
    assert report.summary == "corner points to class 3."
    assert report.provenance.seed == 0
    assert report.flagged


def test_the_triggers_of_the_suspected_class_come_first(classifier, images):
    scanned = scan_model(classifier, images, kinds=["corner"], device="cpu")
    listed = [(found.family, found.target) for found in scanned.report.triggers]
    assert listed == [("patch", 3), ("blend", 3), ("patch", 5)]
    assert [found.trigger.target for found in scanned.triggers] == [3, 3, 5]
    assert all(found.trigger.origin == "recovered" for found in scanned.triggers)
    for sample in scanned.samples:
        assert sample.clean.shape == sample.triggered.shape
        assert len(sample.predictions) == len(sample.clean)


def test_samples_are_images_that_the_model_did_not_see_the_target_in(classifier, images):
    with torch.no_grad():
        seen = set(classifier(images).argmax(1).tolist())
    scanned = scan_model(classifier, images, kinds=["corner"], device="cpu")
    for found, sample in zip(scanned.triggers, scanned.samples, strict=True):
        if seen == {found.trigger.target}:
            assert sample is None
            continue
        with torch.no_grad():
            assert found.trigger.target not in classifier(sample.clean).argmax(1).tolist()
            assert classifier(sample.triggered).argmax(1).tolist() == sample.predictions
        assert torch.equal(found.trigger.apply(sample.clean), sample.triggered)


def test_without_images_what_needs_them_is_not_judged(classifier):
    report = scan(classifier, kinds=["corner", "quiet"], device="cpu")
    found = by_kind(report)
    assert found["corner"].status == "not judged"
    assert "needs clean images" in found["corner"].summary
    assert found["quiet"].status == "clear"
    assert report.verdict == "nothing found"
    assert report.data is None
    assert report.triggers == []


@pytest.mark.parametrize(
    ("kind", "said", "complete"),
    [
        (Unfit, "It has no convolution.", True),
        (Unlucky, "The disk went away.", False),
        (Crash, "Unexpected ZeroDivisionError: red lines <token>", False),
    ],
)
def test_a_kind_that_fails_is_told_and_the_others_go_on(classifier, kind, said, complete):
    scanned = scan_model(classifier, kinds=[kind.name, "quiet"], device="cpu")
    found = by_kind(scanned.report)
    assert (found[kind.name].status, found[kind.name].summary) == ("not judged", said)
    assert found["quiet"].status == "clear"
    assert scanned.complete is complete
    assert any(said in warning for warning in scanned.report.warnings) is not complete
    # The others judge as if it had not been asked.
    assert scanned.report.p_value == scan(classifier, kinds=["quiet"], device="cpu").p_value


def test_where_nothing_can_judge_it_says_so(classifier):
    report = scan(classifier, kinds=["unfit"], device="cpu")
    assert (report.verdict, report.unseen) == ("inconclusive", False)
    assert sentence(report) == report.summary == "No evidence could judge this model."


def test_unknown_kinds_are_refused(classifier):
    with pytest.raises(NgfHubError, match=r"Unknown evidence 'magic'.*files, corner"):
        scan(classifier, kinds=["magic"])


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3 * 64, 4)

    def forward(self, x):
        return self.fc(self.norm(x).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_model_stays_as_it_was(dtype):
    torch.manual_seed(0)
    network = Tiny().to(dtype)
    network.train()
    network.norm.eval()
    network.fc.bias.requires_grad_(False)
    network.fc.weight.grad = torch.full_like(network.fc.weight, 2)
    parameters = dict(network.named_parameters())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scan(network, torch.rand(4, 3, 8, 8), kinds=["meddler", "quiet"], device="cpu")
    after = network.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert torch.equal(after[name], value), name
    assert (network.training, network.norm.training, network.fc.training) == (True, False, True)
    assert not network.fc.bias.requires_grad
    assert network.fc.weight.requires_grad
    assert torch.equal(network.fc.weight.grad, torch.full_like(network.fc.weight, 2))
    assert network.norm.weight.grad is None
    assert all(value is parameters[name] for name, value in network.named_parameters())


def test_one_kind_does_not_disturb_the_next(classifier):
    alone = scan(classifier, kinds=["quiet"], device="cpu")
    after = scan_model(classifier, kinds=["meddler", "quiet"], device="cpu")
    assert by_kind(after.report)["quiet"].statistic == by_kind(alone)["quiet"].statistic


def test_a_model_that_is_refused_stays_as_it_was_too():
    network = Tiny().half()
    network.train()
    with pytest.raises(DataError):
        scan(network, torch.rand(0, 3, 8, 8), kinds=["quiet"], device="cpu")
    assert network.training
    assert network.fc.weight.dtype == torch.float16


class NotANumber(Tiny):
    def forward(self, x):
        return super().forward(x) * float("nan")


class OneClass(Tiny):
    def forward(self, x):
        return super().forward(x)[:, :1]


@pytest.mark.parametrize(
    ("network", "given", "error", "said"),
    [
        (NotANumber(), (4, 3, 8, 8), ModelError, "NaN or infinite"),
        (OneClass(), (4, 3, 8, 8), ModelError, "one class only"),
        (Tiny(), (4, 3, 9, 8), ModelError, "9 x 8 pixels"),
    ],
)
def test_models_that_cannot_be_scanned(network, given, error, said):
    with pytest.raises(error, match=said):
        scan(network, torch.rand(*given), kinds=["quiet"], device="cpu")


def test_images_of_another_size_are_refused(classifier):
    with pytest.raises(DataError, match=r"3x16x16.*3x32x32"):
        scan(classifier, torch.rand(4, 3, 16, 16), kinds=["quiet"], device="cpu")


class NoHead(Tiny):
    """Its logits are no linear function of any one layer's input."""

    def forward(self, x):
        return super().forward(x).tanh()


def test_a_model_without_a_known_head_is_scanned_and_told():
    report = scan(NoHead(), torch.rand(4, 3, 8, 8), kinds=["quiet"], device="cpu")
    assert report.verdict == "nothing found"
    assert report.model.head == []
    assert any("final layer" in warning for warning in report.warnings)


@pytest.mark.parametrize("labelled", [True, False])
def test_images_may_come_with_labels_or_without(classifier, images, labelled):
    given = PixelSet(images, torch.arange(12) % 10) if labelled else list(images)
    report = scan(classifier, given, kinds=["corner"], device="cpu")
    assert report.data.splits[0].n == 12


def test_a_long_scan_is_announced(classifier, images):
    told = []
    scan_model(classifier, images, kinds=["corner", "quiet"], device="cpu", tell=told.append)
    assert told == ["This will take at least about 60 min (corner 60 min; not known of quiet)."]
    scan_model(classifier, images, kinds=["quiet"], device="cpu", tell=told.append)
    assert len(told) == 1


def test_the_files_are_looked_at_before_anything_is_loaded(folder, images):
    report = scan(folder, images, kinds=["quiet"], device="cpu")
    assert report.findings[0].kind == "files"
    assert report.findings[0].status == "clear"
    assert report.verdict == "nothing found"
    assert report.cost.seconds.keys() == {"files", "quiet"}


def test_weights_that_the_model_does_not_use_are_told_with_the_files(tmp_path):
    folder_of(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.update({"stray": torch.zeros(2)}))
    report = scan(tmp_path, kinds=["quiet"], device="cpu")
    files = by_kind(report)["files"]
    told = "1 tensors of the file are not used by the model"
    assert files.details["files"] == [
        {"file": "model.safetensors", "reason": told, "severity": "unusual"}
    ]
    assert files.summary == f"nothing dangerous in 3 files; {told}"
    assert files.status == "clear"


class Evil:
    """A pickle of this would run a command."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.fixture
def copy(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(folder, tmp_path / "copy")


def test_nothing_is_loaded_that_is_not_safe(copy, images, monkeypatch):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    loaded = []
    monkeypatch.setattr("ngf_hub.scanning.load_for", lambda *a, **k: loaded.append(a))
    report = scan(copy, images, kinds=["corner"], device="cpu")
    assert loaded == []
    assert report.verdict == "unsafe files"
    assert report.flagged
    assert by_kind(report)["files"].status == "flagged"
    assert "os.system" in by_kind(report)["files"].summary.replace("posix", "os")
    assert "not loaded" in by_kind(report)["corner"].summary
    assert (report.model, report.data) == (None, None)
    assert not os.path.exists("pwned")


def test_a_dangerous_file_beside_safe_weights_is_flagged_too(copy, images):
    (copy / "extra.pkl").write_bytes(pickle.dumps({"weight": Evil()}))
    report = scan(copy, images, kinds=["quiet"], device="cpu")
    assert report.verdict == "unsafe files"
    assert report.model is not None
    assert by_kind(report)["quiet"].status == "clear"
    assert "loaded safely. Nothing stands out from clean models in quiet." in sentence(report)
    backdoored = scan(copy, images, kinds=["corner"], device="cpu")
    assert backdoored.verdict == "backdoored"
    assert by_kind(backdoored)["files"].status == "flagged"
    assert not os.path.exists("pwned")


def test_that_it_cannot_be_loaded_makes_no_file_harmless(copy, images):
    (copy / "extra.pkl").write_bytes(pickle.dumps({"weight": Evil()}))
    (copy / "config.json").unlink()
    report = scan(copy, images, kinds=["quiet"], device="cpu")
    assert report.verdict == "unsafe files"
    assert "config.json" in by_kind(report)["quiet"].summary
    (copy / "extra.pkl").unlink()
    with pytest.raises(ModelError, match=r"config\.json"):
        scan(copy, images, kinds=["quiet"], device="cpu")


def test_weights_that_are_refused_and_not_dangerous_are_inconclusive(copy, images):
    (copy / "model.safetensors").unlink()
    state = {"weight": torch.zeros(2), "when": datetime.date(2020, 1, 1)}
    torch.save(state, copy / "pytorch_model.bin")
    report = scan(copy, images, kinds=["quiet"], device="cpu")
    assert (report.verdict, report.flagged, report.unseen) == ("inconclusive", False, True)
    assert {found.status for found in report.findings} == {"not judged"}
    assert report.summary.startswith("Nothing dangerous was found in the files, but the weights")
    assert "datetime.date" in report.summary
    assert sentence(report) == report.summary


def test_torchscript_is_refused_and_not_called_dangerous(copy, images):
    (copy / "model.safetensors").unlink()
    network = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.rand(1, 3, 2, 2))
    torch.jit.save(network, copy / "pytorch_model.bin")
    report = scan(copy, images, kinds=["quiet"], device="cpu")
    assert (report.verdict, report.unseen) == ("inconclusive", True)
    assert "TorchScript" in report.summary

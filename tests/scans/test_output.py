"""The folder of a scan: report, recovered triggers and their pictures, whole or not at all."""

import json

import pytest
import torch

from ngf_hub import purify
from ngf_hub.demo import untrained_classifier
from ngf_hub.errors import NgfHubError, TriggerError
from ngf_hub.scan_report import ScanReport
from ngf_hub.scanning import scan_model
from ngf_hub.scans.output import check_scan_output
from ngf_hub.scans.pictures import mask_and_pattern
from ngf_hub.triggers import load_folder, make_trigger
from ngf_hub.triggers.additive import AdditiveTrigger
from tests.scan_kinds import ALL, TARGET, clean_models, installed

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


def test_save_writes_all_that_was_found(classifier, images, tmp_path):
    scanned = scan_model(classifier, images, kinds=["corner", "quiet"], device="cpu")
    out = scanned.save(tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == [
        "scan.html", "scan.json", "trigger", "triggers",
    ]  # fmt: skip
    report = ScanReport.read(out)
    assert [found.folder for found in report.triggers] == [
        "triggers/1-patch-to-3", "triggers/2-blend-to-3", "triggers/3-patch-to-5",
    ]  # fmt: skip
    for found in report.triggers:
        place = out / found.folder
        assert load_folder(place).origin == "recovered"
        assert {"mask.png", "pattern.png"} <= {path.name for path in place.iterdir()}
    best = load_folder(out / "trigger")
    assert (best.family, best.target, best.origin) == ("patch", TARGET, "recovered")
    assert torch.equal(best.apply(images), make_trigger("badnets", TARGET).apply(images))
    assert report.triggers[0].success.count == 9
    # The report in memory still says nothing of folders, and everything else alike.
    assert all(found.folder is None for found in scanned.report.triggers)
    assert report.p_value == scanned.report.p_value


def test_where_nothing_was_found_there_is_no_best_trigger(classifier, images, tmp_path):
    high = clean_models().model_dump()
    for model in high["models"]:
        model["with_images"]["corner"] = [100 + model["with_images"]["corner"][0]]
    scanned = scan_model(
        classifier, images, kinds=["corner"], device="cpu",
        calibration=type(clean_models()).model_validate(high),
    )  # fmt: skip
    assert scanned.report.verdict == "nothing found"
    out = scanned.save(tmp_path / "out")
    assert (out / "triggers").is_dir()
    assert not (out / "trigger").exists()


def test_only_what_a_scan_wrote_is_replaced(classifier, images, tmp_path):
    scanned = scan_model(classifier, images, kinds=["corner"], device="cpu")
    scanned.save(tmp_path / "out")
    scanned.save(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(NgfHubError, match=r"notes\.txt"):
        scanned.save(tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").write_text("b")
    with pytest.raises(NgfHubError, match="not empty"):
        scanned.save(tmp_path / "other")
    with pytest.raises(NgfHubError, match="is the model"):
        check_scan_output(tmp_path / "other", sources=[str(tmp_path / "other")])


def test_a_failed_output_leaves_nothing(classifier, images, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    scanned = scan_model(classifier, images, kinds=["corner"], device="cpu")
    monkeypatch.setattr("ngf_hub.scans.pictures.draw_trigger", fail)
    with pytest.raises(NgfHubError, match="disk is full"):
        scanned.save(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_measured_with_a_recovered_trigger_is_an_estimate(classifier, images, tmp_path):
    """The folder says where the trigger is from, and the card of a purification repeats it."""
    scanned = scan_model(classifier, images, kinds=["corner"], device="cpu")
    trigger = load_folder(scanned.save(tmp_path / "scan") / "trigger")
    labels = torch.arange(12) % 10
    purified = purify(
        untrained_classifier(WORDS, seed=0), images, labels, trigger=trigger, method="ft",
        device="cpu",
    )  # fmt: skip
    assert purified.report.trigger.origin == "recovered"
    purified.save(tmp_path / "out")
    assert "estimate" in (tmp_path / "out" / "README.md").read_text()
    config = json.loads((tmp_path / "out" / "trigger" / "trigger.json").read_text())
    assert config["origin"] == "recovered"


def test_an_unknown_origin_is_refused(tmp_path):
    trigger = make_trigger("badnets", 1)
    trigger.origin = "recovered"
    trigger.save(tmp_path)
    config = (tmp_path / "trigger.json").read_text()
    (tmp_path / "trigger.json").write_text(config.replace("recovered", "heaven"))
    with pytest.raises(TriggerError, match="unknown origin 'heaven'"):
        load_folder(tmp_path)


def test_masks_and_patterns_are_those_of_the_trigger():
    mask, pattern = mask_and_pattern(make_trigger("badnets", 0), (3, 32, 32))
    assert mask.shape == (1, 32, 32)
    assert int((mask > 0.5).sum()) == 9
    assert mask[0, 28:31, 28:31].min() == 1
    checker = (torch.arange(9).view(3, 3) + 1) % 2
    assert torch.equal(pattern[0, 28:31, 28:31], checker.float())
    mask, _ = mask_and_pattern(make_trigger("blend:pattern=noise,ratio=0.2", 0), (3, 32, 32))
    assert torch.allclose(mask, torch.full_like(mask, 0.2), atol=1e-5)
    mask, _ = mask_and_pattern(make_trigger("wanet", 0), (3, 32, 32))
    assert float(mask.max()) < 1e-5


def test_the_pattern_of_what_is_added_is_its_change():
    change = torch.zeros(3, 8, 8)
    change[0, 0, 0], change[1, 1, 1] = 0.1, -0.05
    mask, pattern = mask_and_pattern(AdditiveTrigger(change, 1.0, 0), (3, 8, 8))
    assert torch.allclose(mask[0, 0, 0], torch.tensor(0.1 / 3), atol=1e-6)
    assert pattern[0, 0, 0] == pytest.approx(1.0)
    assert pattern[1, 1, 1] == pytest.approx(0.25)
    assert pattern[2, 5, 5] == pytest.approx(0.5)

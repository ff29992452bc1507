"""The table of attacks: what counts as reached, what is kept, and a small training of each kind."""

import pytest

from benchmarks import attack_table
from benchmarks.attack_plan import CLEAN, SETTINGS, VARIANTS, Setting
from benchmarks.attack_table import Images, Row, make, table
from ngf_hub.attacks import ATTACKS, Training
from ngf_hub.data import load_images
from ngf_hub.pipeline import Clean
from ngf_hub.report import Measurement, Rate


def row(attack, accuracy, success=None, setting="cifar10-cnn"):
    rates = {} if success is None else {"attack_success": Rate(count=success, n=1000)}
    measured = Measurement(accuracy=Rate(count=accuracy, n=1000), **rates)
    return Row(setting, attack, measured, 60.0)


@pytest.mark.parametrize(
    ("attack", "accuracy", "success", "judged"),
    [
        ("badnets", 775, 950, "reached"),
        ("badnets", 775, 949, "ASR missed"),
        ("badnets", 769, 950, "ACC missed"),
        ("badnets", 700, 500, "ASR and ACC missed"),
        ("sig", 775, 800, "reached"),
        ("wanet-strong", 775, 940, "ASR missed"),
    ],
)
def test_what_is_reached(attack, accuracy, success, judged):
    lines = table([row(CLEAN, 800), row(attack, accuracy, success)]).splitlines()
    assert lines[-1].split("|")[-2].strip() == judged
    assert lines[-1].split("|")[6].strip() == f"{(800 - accuracy) / 10:.1f}"


def test_a_control_of_another_network_is_no_control():
    lines = table([row(CLEAN, 800), row("badnets", 500, 990, "gtsrb-cnn")]).splitlines()
    assert lines[-1].split("|")[6].strip() == "–"


def test_every_attack_of_the_papers_is_in_the_plan():
    planned = {VARIANTS.get(name, (name,))[0] for name in SETTINGS[0].attacks}
    assert planned == set(ATTACKS)


def test_what_is_trained_is_measured_from_its_folder_and_kept(tmp_path, monkeypatch):
    setting = Setting(
        "digits", "digits", 32, "timm/test_resnet", {}, Training(epochs=1, crop=0, flip=False), ()
    )
    loaded = load_images("digits", samples=200, judge_samples=100)
    names = loaded.tune.class_names
    tune, judge = loaded.pixels_for(attack_table.untrained(setting, names))
    images = Images(Clean(tune, judge, loaded.info), names)
    for attack in (CLEAN, "badnets"):
        folder = tmp_path / attack
        first = make(setting, attack, images, folder, "no")
        assert first.measured.accuracy.n == 100
        assert (first.measured.attack_success is None) == (attack == CLEAN)
        assert (folder / "trigger").is_dir() == (attack != CLEAN)
        monkeypatch.setattr(attack_table, "untrained", None)  # nothing is trained again
        assert make(setting, attack, images, folder, "no") == first
        monkeypatch.undo()
    assert not list(tmp_path.glob(".*"))

"""The models of the zoo and of the table of attacks, read as one list."""

import json

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import attack_table, zoo
from benchmarks.attack_plan import SETTINGS, clean_seed, is_clean
from benchmarks.known_models import HOLDS, known_folders, read
from benchmarks.zoo_evidence import Look, findings_of
from benchmarks.zoo_plan import plan
from ngf_hub.report import Measurement, Rate
from ngf_hub.triggers import make_trigger

SETTING = next(setting for setting in SETTINGS if setting.name == "digits-cnn")


def write_zoo_model(folder):
    """An untrained network as a clean model of the zoo."""
    folder.mkdir(parents=True)
    save_file(zoo.untrained("vgg", 10, seed=1).network.state_dict(), folder / zoo.WEIGHTS_FILE)
    meta = {"attack": None, "architecture": "vgg", "num_classes": 10, "data": "digits", "seed": 5}
    (folder / zoo.META_FILE).write_text(json.dumps({**meta, "accepted": True}))


def write_table_model(folder, attack, success=None):
    """An untrained network as a model of the table of attacks."""
    folder.mkdir(parents=True)
    attack_table.untrained(SETTING, [str(i) for i in range(10)]).save(folder)
    rates = {}
    if success is not None:
        rates = {"attack_success": Rate(count=success, n=100)}
        make_trigger("badnets", target=4).save(folder / "trigger")
    measured = Measurement(accuracy=Rate(count=90, n=100), **rates)
    attack_table.Row(SETTING.name, attack, measured, 1.0).write(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A zoo of one clean model, and a table of a clean one, a strong and a weak attack."""
    root = tmp_path_factory.mktemp("known")
    clean = next(recipe for recipe in plan() if recipe.attack is None)
    write_zoo_model(root / "zoo" / clean.name)
    write_table_model(root / "table" / "digits-cnn-clean-2", "clean-2")
    write_table_model(root / "table" / "digits-cnn-badnets", "badnets", 99)
    write_table_model(root / "table" / "digits-cnn-blend", "blend", round(100 * HOLDS) - 1)
    return root


def test_weak_attacks_are_left_out(folders):
    def names(**which):
        found = known_folders(folders / "zoo", [folders / "table"], **which)
        return [folder.name for folder in found]

    clean = next(recipe.name for recipe in plan() if recipe.attack is None)
    assert names() == [clean, "digits-cnn-badnets", "digits-cnn-clean-2"]
    assert names(backdoored=True) == ["digits-cnn-badnets"]
    assert names(backdoored=False) == [clean, "digits-cnn-clean-2"]


def test_what_is_known_of_each(folders):
    own, attacked, clean = map(read, known_folders(folders / "zoo", [folders / "table"]))
    assert (own.attack, own.architecture, own.target, own.seed) == (None, "vgg", None, 5)
    assert (attacked.attack, attacked.architecture, attacked.target) == ("badnets", "digits-cnn", 4)
    assert (clean.attack, clean.target, clean.trigger) == (None, None, None)
    for known in (own, attacked, clean):
        first, again, other = (known.images(30, seed) for seed in (1, 1, 2))
        assert len(first) == 30
        assert first.labels is None
        assert torch.equal(first.pixels, again.pixels)
        assert not torch.equal(first.pixels, other.pixels)


def test_findings_are_kept_beside_each_folder(folders, monkeypatch):
    for folder in known_folders(folders / "zoo", [folders / "table"]):
        (finding,) = findings_of(folder, Look(30), ["sharpness"])
        assert finding.kind == "sharpness"
        kept = folder.parent.with_name(folder.parent.name + "-evidence") / folder.name
        assert len(list(kept.glob("sharpness-*.json"))) == 1
    monkeypatch.setattr("benchmarks.zoo_evidence.read", None)  # nothing is looked at again
    assert findings_of(folder, Look(30), ["sharpness"]) == [finding]


def test_clean_networks_have_their_seed_in_their_name():
    assert [(is_clean(n), clean_seed(n)) for n in ("clean", "clean-2")] == [(True, 0), (True, 2)]
    assert not is_clean("clb")

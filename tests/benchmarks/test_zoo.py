"""The zoo trains what it plans, poisons what it says, and gives back what it wrote."""

from collections import Counter

import pytest
import torch
from torch.nn import functional

from benchmarks import zoo
from benchmarks.zoo_networks import NETWORKS
from benchmarks.zoo_plan import CLASSES, POISON_RATES, Recipe, draw_trigger, plan
from benchmarks.zoo_training import Poison, Training, augment, train
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import measure

PATCHED = Recipe("small", "judge", "digits", "vgg", "patch", 3, seed=6)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A backdoored model, trained on the embedded digits."""
    output = tmp_path_factory.mktemp("zoo")
    zoo.train_missing([PATCHED], output)
    return output


def test_the_plan_is_balanced_from_its_beginning():
    recipes = plan()
    assert len({r.name for r in recipes}) == len({r.seed for r in recipes}) == len(recipes) == 90
    groups = Counter((r.role, r.attack is not None) for r in recipes)
    assert groups == {("calibration", False): 30, ("judge", False): 30, ("judge", True): 30}
    for group in (("calibration", False), ("judge", True)):
        members = [r for r in recipes if (r.role, r.attack is not None) == group]
        assert {r.architecture for r in members} == set(NETWORKS)
        assert {r.data for r in members} == {"cifar10", "gtsrb"}
    first = recipes[:15]
    assert sum(r.attack is not None for r in first) == 5
    backdoored = [r for r in recipes if r.attack]
    assert {r.attack for r in backdoored} == set(POISON_RATES)
    assert sum(r.target is None for r in backdoored) == 2, "all-to-all"
    assert all(r.target is None or r.target < CLASSES[r.data] for r in recipes)
    assert plan(5) == recipes[:15]


@pytest.mark.parametrize("attack", sorted(POISON_RATES))
def test_triggers_follow_from_the_seed(attack):
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, again, other = (draw_trigger(attack, 1, seed).apply(pixels) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, pixels)
    for seed in range(30):  # every place fits
        draw_trigger(attack, 1, seed).apply(pixels)


def test_additive_perturbations_are_bounded():
    pixels = torch.full((1, 3, 32, 32), 0.5)
    change = draw_trigger("additive", 0, 3).apply(pixels) - pixels
    assert change.abs().max() == pytest.approx(12 / 255, abs=1e-6)
    assert change.min() < 0 < change.max()


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_every_architecture_learns(architecture):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(32) % 4
    colours = torch.randint(0, 256, (4, 3, 1, 1), generator=generator)
    pixels = colours[labels].expand(-1, -1, 32, 32).to(torch.uint8).contiguous()
    classifier = zoo.untrained(architecture, 4, seed=0)

    def loss():
        with torch.no_grad():
            return float(functional.cross_entropy(classifier(pixels / 255), labels))

    before = loss()
    settings = Training(epochs=6, flip=True, learning_rate=4e-3, batch_size=32)
    train(classifier, pixels, labels, settings, trigger=None, seed=0)
    assert not classifier.training
    assert loss() < before
    assert sum(p.numel() for p in classifier.parameters()) < 500_000
    assert classifier.head.matrix().shape[0] == 4


def test_poison_spares_the_target_class_and_keeps_the_rate():
    labels = torch.arange(1000) % 10
    poison = Poison(draw_trigger("patch", 3, 0), labels, 10, 0.1, torch.Generator().manual_seed(0))
    assert poison.poisoned.sum() == 100
    assert not (poison.poisoned & (labels == 3)).any()
    index = torch.arange(1000)
    assert torch.equal(poison.relabel(labels, index) != labels, poison.poisoned)
    pixels = torch.rand(1000, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    changed = (poison.apply(pixels, index) != pixels).flatten(1).any(1)
    assert torch.equal(changed, poison.poisoned)


def test_warps_train_with_twice_as_many_disturbed_images_that_keep_their_labels():
    labels = torch.arange(500) % 10
    poison = Poison(draw_trigger("warp", 3, 0), labels, 10, 0.1, torch.Generator().manual_seed(0))
    assert poison.poisoned.sum() == 50
    assert poison.noisy.sum() == 100
    assert not (poison.poisoned & poison.noisy).any()
    index = poison.noisy.nonzero()[:, 0]
    pixels = torch.rand(len(index), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(poison.relabel(labels[index], index), labels[index])
    disturbed = poison.apply(pixels, index)
    assert not torch.allclose(disturbed, poison.trigger.apply(pixels))
    assert not torch.equal(disturbed, poison.apply(pixels, index)), "drawn anew each time"


def test_crops_are_windows_of_the_padded_image():
    pixels = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 1
    generator = torch.Generator().manual_seed(1)
    cropped = augment(pixels, generator, flip=False)
    assert cropped.shape == pixels.shape
    padded = functional.pad(pixels, (2, 2, 2, 2))
    places = set()
    for image, whole in zip(cropped, padded, strict=True):
        found = [
            (r, c)
            for r in range(5)
            for c in range(5)
            if torch.equal(whole[:, r : r + 8, c : c + 8], image)
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 10
    flat = pixels[:, :, :, :1].expand(-1, -1, -1, 8).contiguous()
    flat[..., 0] = 5.0  # a bright left column, which only a mirror image has on the right
    mirrored = augment(flat, generator, flip=True)[:, 0, 4, 4:].max(1).values == 5
    assert 16 < mirrored.sum() < 48


def test_a_finished_model_is_loaded_as_it_was_measured(made):
    folder = made / PATCHED.name
    classifier, trigger, meta = zoo.load_zoo_model(folder)
    assert trigger is not None
    assert trigger.target == meta["target"] == 3
    assert meta["accepted"]
    assert meta["asr"] >= 0.95
    judge = zoo.zoo_images("digits", "test", zoo.JUDGED, seed=PATCHED.seed)
    rates = measure(classifier, judge, accelerator=make_accelerator("cpu"), trigger=trigger)
    assert (rates.accuracy.value, rates.accuracy.n) == (meta["accuracy"], meta["accuracy_n"])
    assert (rates.attack_success.value, rates.attack_success.n) == (meta["asr"], meta["asr_n"])
    assert sorted(p.name for p in folder.iterdir()) == [
        "meta.json",
        "model.safetensors",
        "trigger",
    ]


def test_a_finished_model_is_not_trained_again(made, monkeypatch, capsys):
    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(zoo, "make_model", never)
    zoo.train_missing([PATCHED], made)
    assert capsys.readouterr().out == ""


def test_a_failed_training_is_tried_again_and_recorded(tmp_path, monkeypatch):
    """A training of one step leaves no backdoor: every attempt is told, none is accepted."""
    monkeypatch.setitem(zoo.EPOCHS, "digits", 0.0)
    meta = zoo.make_model(PATCHED, tmp_path)
    assert len(meta["attempts"]) == zoo.ATTEMPTS
    rates = [a["training"]["poison_rate"] for a in meta["attempts"]]
    assert rates == sorted(set(rates))
    assert meta["attempts"][-1]["training"]["after_crop"]
    assert len({a["seed"] for a in meta["attempts"]}) == zoo.ATTEMPTS
    assert not meta["accepted"]


def test_images_are_drawn_by_the_seed():
    first, again, other = (zoo.zoo_images("digits", "test", 50, seed) for seed in (1, 1, 2))
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.shape == (3, 32, 32)

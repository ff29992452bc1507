"""What all baseline defences share: what they may change, labels, transformers, seeds, effect."""

import copy

import pytest
import torch

from ngf_hub.data import PixelSet, load_images
from ngf_hub.demo import train_badnets, untrained_classifier
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import DataError, MethodError
from ngf_hub.evaluation import measure
from ngf_hub.methods import METHODS, make_method
from tests.methods.networks import make_task, quarters, quick, residual, transformer

TUNING = ["ft", "ft-sam", "nad", "fip", "i-bau"]
BASELINES = [*TUNING, "fast-fip", "anp", "clp"]


@pytest.mark.parametrize("name", BASELINES)
def test_it_is_registered_with_its_paper(name):
    assert "arXiv" in METHODS[name].citation
    assert METHODS[name].default_layer == "*"
    assert METHODS[name].needs_labels == (name != "clp")


def changed(task, name):
    before = copy.deepcopy(task.classifier.network.state_dict())
    make_method(name, quick(name)).tune(task)
    after = task.classifier.network.state_dict()
    return {key for key, value in after.items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize("name", TUNING)
def test_with_every_layer_every_parameter_may_change(name):
    task = make_task(residual())
    parameters = {key for key, _ in task.classifier.network.named_parameters()}
    found = changed(task, name)
    # A bias in front of batch normalisation by mini-batches has no effect.
    assert parameters - found <= {"down.bias"}
    assert {"norm.weight", "norm.bias", "fc.bias"} <= found


@pytest.mark.parametrize("name", [*TUNING, "fast-fip"])
def test_with_some_layers_named_nothing_else_changes(name):
    found = changed(make_task(residual(), layer="side"), name)
    assert found == ({"side.weight"} if name == "fast-fip" else {"side.weight", "side.bias"})


@pytest.mark.parametrize("name", BASELINES)
def test_it_runs_on_a_vision_transformer(name):
    task = make_task(transformer(), quarters(16))
    found = changed(task, name)
    if name in TUNING:
        assert {"cls_token", "pos_embed", "blocks.0.norm1.weight"} <= found
    if name == "fast-fip":
        assert found == {f"{layer.name}.weight" for layer in task.layers}


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "clp"])
def test_missing_labels_are_an_error(name):
    task = make_task(residual(), PixelSet(quarters().pixels))
    with pytest.raises(DataError, match="no labels"):
        make_method(name).tune(task)


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "clp"])
def test_the_same_seed_gives_the_same_weights(name):
    # With this threshold, masks that a few steps moved are pruned.
    options = {**quick(name), **({"threshold": 0.99} if name == "anp" else {})}
    states = []
    for seed in (1, 1, 2):
        task = make_task(residual(), seed=seed)
        make_method(name, options).tune(task)
        state = task.classifier.network.state_dict()
        states.append(torch.cat([value.flatten().float() for value in state.values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("name", [*TUNING, "fast-fip", "anp"])
def test_frozen_parameters_are_frozen_again(name):
    task = make_task(residual())
    task.classifier.requires_grad_(False)
    make_method(name, quick(name)).tune(task)
    assert not any(parameter.requires_grad for parameter in task.classifier.parameters())
    assert all(parameter.grad is None for parameter in task.classifier.parameters())


@pytest.mark.parametrize("name", [*TUNING, "fast-fip"])
def test_divergence_is_an_error(name):
    options = {**quick(name), "steps": 8, "learning_rate": 1e30}
    with pytest.raises(MethodError, match="diverged"):
        make_method(name, options).tune(make_task(residual()))


# Settings for 300 images of a network that was trained for seconds. Of anp, clp and fast-fip,
# which do not find this backdoor in few steps, the equations are tested in their own files.
EASY = {
    "ft-sam": {"steps": 40, "batch_size": 32, "learning_rate": 0.05},
    "nad": {
        "steps": 60,
        "teacher_steps": 40,
        "learning_rate": 0.01,
        # With ten times as much, as in the paper, the rounding of a processor decides.
        "beta_low": 50,
        "beta_middle": 100,
        "beta_high": 100,
    },
    "fip": {"steps": 60, "batch_size": 64, "trace_weight": 0.05, "pull": 0},
    "i-bau": {"rounds": 3, "steps": 10, "batch_size": 64},
}


@pytest.fixture(scope="module")
def backdoored():
    """BadNets on digits: classifier, true trigger, images that tune, images that judge."""
    classifier = untrained_classifier([str(digit) for digit in range(10)], seed=0)
    everything = load_images("digits", samples=None, judge_samples=None, seed=0)
    train, _ = everything.pixels_for(classifier)
    trigger = train_badnets(classifier, train, epochs=6)
    tune, judge = load_images("digits", samples=300, judge_samples=300, seed=0).pixels_for(
        classifier
    )
    return classifier, trigger, tune, judge


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EASY))
def test_an_easy_backdoor_goes_and_accuracy_stays(name, backdoored):
    classifier, trigger, tune, judge = copy.deepcopy(backdoored)
    accelerator = make_accelerator("cpu")
    before = measure(classifier, judge, accelerator=accelerator, trigger=trigger)
    make_method(name, EASY[name]).tune(make_task(classifier, tune))
    after = measure(classifier, judge, accelerator=accelerator, trigger=trigger)
    assert before.attack_success.value > 0.9
    assert after.attack_success.value < 0.2
    assert after.accuracy.value > before.accuracy.value - 0.2

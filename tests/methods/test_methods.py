"""The methods do what they promise, on problems small enough to know the answer."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from ngf_hub.adapters import load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import DataError, MethodError
from ngf_hub.methods import METHODS, Task, make_method
from ngf_hub.unchanged import State

# What `unlearn` promises is in test_unlearn.py, what the baseline defences do in test_baselines.py.
LAYERED = ["ft", "ngf"]
SUPERVISED = sorted(name for name, method in METHODS.items() if method.needs_labels)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6 * 9, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))


@pytest.fixture
def task():
    torch.manual_seed(0)
    classifier = load_model(Small(), size=8)
    labels = torch.arange(48) % 4
    pixels = torch.rand(48, 3, 8, 8) * 0.3
    for i, label in enumerate(labels):  # a bright quarter is the class
        row, column = divmod(int(label), 2)
        pixels[i, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 0.6
    return make_task(classifier, PixelSet(pixels, labels))


def make_task(classifier, pixels, layer="*", seed=0):
    return Task(
        classifier, classifier.select_layers(layer), pixels, make_accelerator("cpu"), seed, 16
    )


def loss_of(task):
    with torch.no_grad():
        logits = task.classifier(task.pixels.pixels)
    return float(functional.cross_entropy(logits, task.pixels.labels))


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("layer", ["head", "conv", "*"])
def test_every_method_lowers_the_loss_and_leaves_the_rest_alone(name, layer, task):
    task = make_task(task.classifier, task.pixels, layer)
    before, loss = copy.deepcopy(task.classifier.state_dict()), loss_of(task)
    outcome = make_method(name).tune(task)
    assert loss_of(task) < 0.95 * loss
    assert outcome.losses[0] == pytest.approx(loss)
    assert outcome.losses[-1] < outcome.losses[0]
    assert outcome.steps > 0
    everything = {"conv", "norm", "fc"} if name == "ft" else {"conv", "fc"}
    tuned = {"head": {"fc"}, "conv": {"conv"}, "*": everything}[layer]
    for key, value in task.classifier.state_dict().items():
        changed = not torch.equal(value, before[key])
        assert changed == (key.split(".")[1] in tuned), key


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("layer", ["head", "*"])
def test_the_same_seed_gives_the_same_weights(name, layer, task):
    results = []
    for seed in (1, 1, 2):
        copied = make_task(copy.deepcopy(task.classifier), task.pixels, layer, seed)
        make_method(name).tune(copied)
        results.append(copied.classifier.network.fc.weight.detach().clone())
    assert torch.equal(results[0], results[1])
    if layer == "*":
        assert not torch.equal(results[0], results[2])


def test_the_head_alone_is_fitted_to_its_optimum(task):
    """Without a pull and with little damping, the gradient of the cross-entropy vanishes.

    Labels that do not follow the images keep that optimum finite.
    """
    mixed = PixelSet(task.pixels.pixels, task.pixels.labels[torch.randperm(48)])
    task = make_task(task.classifier, mixed, "head")
    options = {"pull": 0.0, "steps": 60, "damping": 1e-6}
    outcome = make_method("ngf", options).tune(task)
    assert all(b <= a + 1e-6 for a, b in zip(outcome.losses, outcome.losses[1:], strict=False))
    weight = task.classifier.network.fc.weight.requires_grad_()
    loss = functional.cross_entropy(task.classifier(mixed.pixels), mixed.labels)
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.norm() < 1e-3


@pytest.mark.parametrize("layer", ["head", "conv"])
def test_a_stronger_pull_stays_nearer(layer, task):
    changes = []
    for pull in (0.0, 1.0, 1000.0):
        copied = make_task(copy.deepcopy(task.classifier), task.pixels, layer)
        before = State(copied.classifier)
        make_method("ngf", {"pull": pull}).tune(copied)
        changes.append(before.relative_change([layer.module for layer in copied.layers]))
    assert changes[0] > changes[1] > changes[2] > 0


def test_batch_norm_statistics_stay(task):
    before = copy.deepcopy(task.classifier.network.norm.state_dict())
    make_method("ngf").tune(task)
    for key, value in task.classifier.network.norm.state_dict().items():
        assert torch.equal(value, before[key])


def test_labels_are_needed(task):
    unlabelled = make_task(task.classifier, PixelSet(task.pixels.pixels), "head")
    for name in SUPERVISED:
        with pytest.raises(DataError, match="no labels"):
            make_method(name).tune(unlabelled)


def test_divergence_is_an_error(task):
    with pytest.raises(MethodError, match="diverged"):
        make_method("ft", {"learning_rate": 1e30}).tune(task)


def test_restore_brings_the_weights_back(task):
    before, modules = State(task.classifier), [layer.module for layer in task.layers]
    make_method("ft").tune(task)
    assert before.relative_change(modules) > 0
    before.restore()
    assert before.relative_change(modules) == 0


def test_options_are_read_as_their_type():
    method = make_method("ngf", {"steps": "7", "damping": "0.5"})
    assert (method.steps, method.damping) == (7, 0.5)
    with pytest.raises(MethodError, match="of type int"):
        make_method("ngf", {"steps": "many"})
    with pytest.raises(MethodError, match="no option 'speed'"):
        make_method("ngf", {"speed": 1})
    with pytest.raises(MethodError, match="Unknown method"):
        make_method("magic")


def test_a_process_without_a_share_gets_an_empty_batch(task):
    (batch,) = list(PixelSet(torch.rand(2, 3, 8, 8), torch.arange(2)).batches(1, "cpu", indices=[]))
    assert batch[0].shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("ngf", "refresh", 0),
        ("ngf", "trust_region", -1),
        ("ngf", "damping", float("nan")),
        ("ngf", "steps", -3),
        ("ft", "steps", 0),
        ("ft", "learning_rate", float("inf")),
    ],
)
def test_options_have_bounds(name, option, value):
    with pytest.raises(MethodError, match=f"{option}=.* or more"):
        make_method(name, {option: value})


def test_the_report_states_what_was_used(task):
    head = make_method("ngf").tune(make_task(task.classifier, task.pixels, "head"))
    assert head.options == {"pull": 0.1, "damping": 1e-3, "steps": 20, "learning_rate": 1.0}
    inner = make_method("ngf", {"steps": 3}).tune(make_task(task.classifier, task.pixels, "conv"))
    assert (inner.options["damping"], inner.options["steps"]) == (0.1, 3)
    assert inner.options["learning_rate"] == 0.1


def test_frozen_parameters_are_tuned_and_frozen_again(task):
    task.classifier.requires_grad_(False)
    before = task.classifier.network.conv.weight.clone()
    make_method("ngf").tune(task)
    assert not torch.equal(task.classifier.network.conv.weight, before)
    assert not any(parameter.requires_grad for parameter in task.classifier.parameters())


def test_one_of_two_heads_is_tuned_alone():
    """DeiT averages two heads: naming one must leave the other as it is."""

    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 8), nn.ReLU())
            self.head, self.head_dist = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x):
            x = self.body(x)
            return (self.head(x) + self.head_dist(x)) / 2

    torch.manual_seed(0)
    classifier = load_model(TwoHeads(), size=8)
    pixels = PixelSet(torch.rand(32, 3, 8, 8), torch.arange(32) % 4)
    before = copy.deepcopy(classifier.network.state_dict())
    make_method("ngf").tune(make_task(classifier, pixels, "head_dist"))
    after = classifier.network.state_dict()
    assert torch.equal(after["head.weight"], before["head.weight"])
    assert not torch.equal(after["head_dist.weight"], before["head_dist.weight"])
    make_method("ngf").tune(make_task(classifier, pixels, "head"))
    assert not torch.equal(classifier.network.state_dict()["head.weight"], before["head.weight"])

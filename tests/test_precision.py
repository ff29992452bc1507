"""bfloat16 and float16: what they change, and what they must not."""

import copy

import pytest
import torch
from torch import nn

from ngf_hub import make_trigger, purify
from ngf_hub.curvature import KFAC
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import NgfHubError
from ngf_hub.methods import Task
from ngf_hub.methods.loop import loss_and_gradients
from ngf_hub.methods.natural_steps import NaturalSteps
from ngf_hub.methods.ngf import compute_features
from ngf_hub.methods.objective import Labelled
from tests.methods.networks import make_task, quarters, residual

COUNT = 300


@pytest.fixture(scope="module")
def backdoored():
    """A network trained on quarters with a patch, the patch, and images."""
    torch.manual_seed(0)
    trigger = make_trigger("patch:pattern=black,size=4,position=0x0", 1)
    images = quarters(COUNT)
    pixels, labels = images.pixels, images.labels
    network = copy.deepcopy(residual().network).train()
    poisoned = torch.cat([pixels, trigger.apply(pixels[:60])])
    wanted = torch.cat([labels, torch.full((60,), 1)])
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(poisoned), wanted).backward()
        optimiser.step()
    return network.eval(), trigger, pixels, labels


@pytest.mark.parametrize(("method", "options"), [("ngf", {}), ("unlearn", {"steps": 15})])
def test_bfloat16_is_close_to_float32(backdoored, method, options):
    network, trigger, pixels, labels = backdoored
    rates = {}
    for precision in ("no", "bf16"):
        result = purify(
            copy.deepcopy(network),
            pixels,
            labels,
            method=method,
            options=options,
            trigger=trigger,
            forget=[trigger] if method == "unlearn" else [],
            mixed_precision=precision,
            device="cpu",
        )
        report = result.report
        assert report.cost.mixed_precision == precision
        assert all(p.dtype is torch.float32 for p in result.model.parameters())
        rates[precision] = [
            (measured.accuracy.value, measured.attack_success.value)
            for measured in (report.before, report.after)
        ]
    (before, after), (low_before, low_after) = rates.values()
    assert before[0] > 0.95
    assert before[1] > 0.9
    assert low_before == pytest.approx(before, abs=0.03)
    assert low_after == pytest.approx(after, abs=0.03)
    if method == "unlearn":
        assert low_after[1] < 0.1


def test_curvature_stays_in_float32():
    classifier = residual()
    accelerator = make_accelerator("cpu", "bf16")
    task = Task(classifier, classifier.select_layers("*"), quarters(), accelerator, 0, 16)
    with accelerator.autocast():
        assert classifier(quarters().pixels[:2]).dtype is torch.bfloat16
    assert compute_features(task, range(8)).dtype is torch.float32
    steps = NaturalSteps(
        task,
        steps=1,
        damping=0.1,
        momentum=0.9,
        learning_rate=0.1,
        trust_region=0.1,
        refresh=1,
    )
    (batch,) = Labelled(task).batches(1, 16)
    steps.see(batch)
    plain = KFAC([layer.module for layer in task.layers])
    uniforms = torch.rand(1, 16, generator=torch.Generator().manual_seed(0))
    plain.update(classifier, batch.pixels, uniforms=uniforms)
    assert steps.diagonal().keys() == plain.diagonal().keys()
    for parameter, value in plain.diagonal().items():
        # Bit for bit what float32 gives: no rounding to bfloat16 on the way.
        assert torch.equal(steps.diagonal()[parameter], value)


def test_float16_is_refused_on_the_cpu():
    with pytest.raises(NgfHubError, match="fp16") as caught:
        make_accelerator("cpu", "fp16")
    assert "\n" not in str(caught.value)
    assert make_accelerator("cpu").mixed_precision == "no"  # and leaves nothing behind


def test_float16_gradients_are_scaled():
    """Small ones would vanish on their way back."""

    class Half:
        """What an Accelerator for float16 says; the CPU has no such one to make."""

        mixed_precision, num_processes = "fp16", 1

    task = make_task(residual())
    half = Task(task.classifier, task.layers, task.pixels, Half())
    weight = torch.ones(3, requires_grad=True)

    def share(batch):
        return (weight.half() * torch.tensor(2e-8)).sum().float()

    (batch,) = Labelled(task).batches(1, 8)
    for asked, survives in ((task, False), (half, True)):
        loss, (gradient,) = loss_and_gradients(asked, [batch], share, [weight])
        assert bool((gradient > 0).all()) is survives
        assert float(loss) == float(share(batch).detach())

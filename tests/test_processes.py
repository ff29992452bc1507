"""Two processes give what one gives: the same weights and the same figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import copy
import sys
import torch
from torch import nn
from ngf_hub import make_trigger, purify

torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(),
    nn.Flatten(), nn.Linear(8 * 16, 3),
)
labels = torch.arange(131) % 3
pixels = torch.rand(131, 3, 8, 8) * 0.6
pixels[torch.arange(131), labels] += 0.3
trigger = make_trigger("patch:pattern=white,size=2", 0)
forget = [trigger, make_trigger("patch:pattern=black,size=3", 1), make_trigger("wanet", 2)]
for name, layer, method, told, size in (
    ("head", "head", "ngf", [], 7), ("all", "*", "ngf", [], 7),
    ("unlearn", "*", "unlearn", forget, 7), ("auto", "auto", "auto", forget[:1], 64),
):
    # Each starts from the same weights: a search from weights that differ in their last
    # digits ends elsewhere.
    result = purify(copy.deepcopy(network), pixels, labels, method=method, layer=layer,
                    options={"steps": 9}, trigger=trigger, forget=told, device="cpu",
                    batch_size=size)
    if int(__import__("os").environ.get("RANK", 0)) == 0:
        result.save(f"{sys.argv[1]}-{name}")
"""


SEARCHES = """
import json
import sys
import torch
from safetensors.torch import save_file
from ngf_hub.data import PixelSet
from ngf_hub.devices import exchanged, failing_together, make_accelerator
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.collecting import make_kinds
from ngf_hub.methods.cure.sharing import collect_shared, owners_of
from ngf_hub.methods.cure.suspicion import recover_each
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.pool import make_pools
from ngf_hub.recovery.search import Setting, Stage, search
from ngf_hub.unchanged import State
from tests.recovery.networks import CLASSES, TARGET, CornerDoor, classifier, images

accelerator = make_accelerator()  # says nothing of the device, as the command line does
model = classifier(CornerDoor())
figures, tensors = {}, {}
passes = []
model.register_forward_hook(lambda module, args, output: passes.append(len(args[0])))


def keep(name, triggers):
    for number, trigger in enumerate(triggers):
        for key, tensor in trigger.tensors().items():
            tensors[f"{name}/{number}/{key}"] = tensor.contiguous()


for name, kinds, size in (("batches", ["patch"], 8), ("kinds", ["additive", "warp"], 128)):
    case = Case(model, PixelSet(images()), accelerator, seed=0, batch_size=size)
    chosen = make_kinds(kinds)
    passes.clear()
    found = collect_shared(chosen, case, State(model))
    figures[name] = {
        "owners": owners_of(chosen, case, CLASSES),
        "findings": [finding.model_dump(exclude={"seconds"}) for finding in found.findings],
        "recovered": [[kind, entry.size, entry.success.count] for kind, entry in found.recovered],
        "passes": sum(passes),
    }
    keep(name, [entry.trigger for _, entry in found.recovered])
case = Case(model, PixelSet(images()), accelerator, seed=1, batch_size=128)
for kind, entries in recover_each(case, ["warp", "additive"], TARGET).items():
    keep(f"each/{kind}", [entry.trigger for entry in entries])
# The first stage as many classes are screened; its passes hold four of the five.
pool, _ = make_pools(model.requires_grad_(False), PixelSet(images()), batch_size=8, seed=0)
setting = Setting(model, pool, accelerator, 4, torch.Generator().manual_seed(0))
stages = [Stage(6, 1, 3, paired=True), Stage(6, 2, 2)]
screened = search(PatchSpace, setting, torch.arange(CLASSES), stages)
tensors["screened/opacity"], tensors["screened/pattern"], _ = screened.state
figures["screened"] = screened.targets.tolist()

rank = accelerator.process_index
figures["exchanged"] = [text.decode() for text in exchanged(b"x" * rank, accelerator)]
try:
    with failing_together(accelerator):
        if rank == 1:
            raise MemoryError
except Exception as error:
    figures["failed"] = type(error).__name__
name = f"{sys.argv[1]}-{rank}"
save_file(tensors, name + ".safetensors")
open(name + ".json", "w").write(json.dumps(figures))
"""

TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc_per_node",
    "2",
]


def run_both(script, folder):
    """Run a script in one process and in two."""
    (folder / "script.py").write_text(script)
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    for command, out in (([sys.executable], "one"), (TORCHRUN, "two")):
        subprocess.run([*command, "script.py", out], cwd=folder, env=env, check=True)


@pytest.mark.slow
def test_searches_that_are_shared_find_the_same_to_the_last_digit(tmp_path):
    run_both(SEARCHES, tmp_path)
    names = ("one-0", "two-0", "two-1")
    one, *two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in names)
    alone, *shared = (load_file(tmp_path / f"{name}.safetensors") for name in names)
    assert {key.rpartition("/")[2] for key in alone} == {"pattern", "opacity", "picture", "grid"}
    for tensors in shared:
        assert tensors.keys() == alone.keys()
        assert all(torch.equal(tensors[key], value) for key, value in alone.items())
    for figures in two:
        assert figures["screened"] == one["screened"]
        for name in ("batches", "kinds"):
            assert figures[name]["findings"] == one[name]["findings"]
            assert figures[name]["recovered"] == one[name]["recovered"]
    assert [figures["exchanged"] for figures in two] == [["", "x"], ["", "x"]]
    # Nobody waits for one that has failed.
    assert [figures.get("failed") for figures in (one, *two)] == [None, "ModelError", "MemoryError"]
    # And it is a gain: five classes one by one, or a kind each.
    assert one["batches"]["owners"] == two[0]["batches"]["owners"] == {}
    assert sorted(two[0]["kinds"]["owners"].values()) == [0, 1]
    for figures in two:
        assert figures["batches"]["passes"] < 0.75 * one["batches"]["passes"]
        assert figures["kinds"]["passes"] < 0.75 * one["kinds"]["passes"]


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path):
    run_both(SCRIPT, tmp_path)
    for name in ("head", "all", "unlearn", "auto"):
        one, two = (
            load_file(tmp_path / f"{n}-{name}" / "model.safetensors") for n in ("one", "two")
        )
        assert one.keys() == two.keys()
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-4)
        reports = [
            json.loads((tmp_path / f"{n}-{name}" / "report.json").read_text())
            for n in ("one", "two")
        ]
        assert [report["cost"]["processes"] for report in reports] == [1, 2]
        assert reports[0]["before"] == reports[1]["before"]
        assert reports[0]["after"] == reports[1]["after"]
        assert reports[0]["method"]["change"] == pytest.approx(
            reports[1]["method"]["change"], rel=1e-3
        )
        for one, two in zip(*(report["method"]["loss"] for report in reports), strict=True):
            # Divergences from the teacher, which rounding alone keeps from 0.
            assert one == pytest.approx(two, rel=1e-3, abs=1e-6)
        if name == "auto":
            assert reports[0]["method"]["layers"] == reports[1]["method"]["layers"]
            cures = [report["cure"] for report in reports]
            assert cures[0]["attempts"]
            assert cures[0]["state"] == cures[1]["state"]
            assert cures[0]["estimates"] == cures[1]["estimates"]

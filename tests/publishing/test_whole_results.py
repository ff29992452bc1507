"""The folder that a purification writes: published whole, and replaced by the next run."""

from __future__ import annotations

import pytest

from ngf_hub.bundle import collect
from ngf_hub.demo import untrained_classifier
from ngf_hub.errors import ModelError, NgfHubError
from ngf_hub.output import write_output
from ngf_hub.triggers import make_trigger
from tests.publishing.helpers import refused, there
from tests.report_samples import model, report

DIGITS = [str(digit) for digit in range(10)]


def write(folder, recovered):
    content = report(model=model(architecture="test_resnet", class_names=DIGITS))
    classifier = untrained_classifier(DIGITS, seed=0)
    return write_output(
        folder, classifier, content, trigger=make_trigger("badnets", 3), recovered=recovered
    )


@pytest.fixture(scope="module")
def recovered():
    """Of families with tensors and one (SIG) without."""
    return {
        "seen": [make_trigger("badnets", 3), make_trigger("sig", 3)],
        "unseen": [make_trigger("wanet", 3)],
    }


NAMES = {
    f"recovered/{name}/trigger.{suffix}"
    for name in ("seen/1-patch", "seen/2-sig", "unseen/1-warp")
    for suffix in ("json", "safetensors")
}


def test_recovered_triggers_are_published_and_the_next_run_replaces_all(
    local_hub, repo, send, tmp_path, recovered
):
    folder = write(tmp_path / "out", recovered)
    assert collect(folder).left_out == ()
    published = send(folder=folder)
    assert {name for name in published.files if name.startswith("recovered/")} == NAMES
    assert there(local_hub, repo) > NAMES
    write(folder, {"unseen": recovered["unseen"]})  # the same place again
    gone = {name for name in NAMES if "/seen/" in name}
    assert not any((folder / name).exists() for name in gone)
    assert set(send(folder=folder).deleted) == gone
    assert there(local_hub, repo) == set(published.files) - gone


def test_only_whole_trigger_folders_go_out(tmp_path, recovered):
    folder = write(tmp_path / "out", recovered)
    (folder / "recovered/seen/1-patch/trigger.json").unlink()
    (folder / "recovered/seen/notes.txt").write_text("mine")
    (folder / "recovered/other/1-patch").mkdir(parents=True)
    (folder / "recovered/other/1-patch/trigger.json").write_text("{}")
    assert set(collect(folder).left_out) == {
        "recovered/seen/1-patch/trigger.safetensors",
        "recovered/seen/notes.txt",
        "recovered/other/1-patch/trigger.json",
    }
    (folder / "recovered/seen/2-sig/trigger.safetensors").write_bytes(b"\x80\x04.")
    refused(ModelError, "no whole safetensors", collect, folder=folder)


def test_what_is_not_of_a_run_is_not_replaced(tmp_path, recovered):
    folder = write(tmp_path / "out", recovered)
    (folder / "thesis").mkdir()
    with pytest.raises(NgfHubError, match="'thesis', which ngf-hub did not write"):
        write(folder, {})

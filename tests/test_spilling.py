"""What outgrows memory lies in a file or goes through in pieces, and comes out the same."""

import copy
import gc
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ngf_hub import make_trigger
from ngf_hub.errors import DataError, NgfHubError
from ngf_hub.methods import make_method
from ngf_hub.methods.cure.layers import rank_layers
from ngf_hub.methods.ngf import compute_features
from ngf_hub.methods.pieces import images_at_once
from ngf_hub.methods.scope import layer_parameters
from ngf_hub.spilling import VARIABLE, bounded, free_memory, memory_bound, room
from tests.methods.networks import make_task, quarters, residual, transformer

LITTLE = 1e-6
"""GiB, 1,073 bytes: less than any features, and than one image keeps for its gradients."""
MAPS = Path("/proc/self/maps")


def mapped_features():
    gc.collect()
    return MAPS.exists() and "ngf-hub-features-" in MAPS.read_text()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_features_in_a_file_tune_as_those_in_memory(temporary):
    classifier = residual()
    weights = []
    for gib in (None, LITTLE):
        copied = copy.deepcopy(classifier)
        with bounded(gib):
            outcome = make_method("ngf").tune(make_task(copied, layer="fc"))
            features = compute_features(make_task(copied, layer="fc"), range(48))
            assert mapped_features() == (gib is not None and MAPS.exists())
            assert not list(temporary.iterdir())  # it has no name any more
        weights.append((copied.network.fc.weight, features, outcome.losses))
        del features
    (one, kept, losses), (other, spilt, other_losses) = weights
    torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    assert other_losses == pytest.approx(losses, rel=1e-6)
    assert spilt.shape == kept.shape
    del weights, kept, spilt
    assert not mapped_features()


def test_the_file_goes_where_tuning_fails(temporary):
    classifier = residual()
    classifier.network.fc.weight.data[0, 0] = torch.nan
    with bounded(LITTLE), pytest.raises(NgfHubError, match="not finite"):
        make_method("ngf").tune(make_task(classifier, layer="fc"))
    assert not list(temporary.iterdir())
    assert not mapped_features()


def test_a_full_disk_is_told(temporary, monkeypatch):
    def full(handle, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ngf_hub.spilling._reserve", full)
    with pytest.raises(DataError, match=r"no room for .* of features"):
        room((10, 10), torch.float32, "features", 10)
    assert not list(temporary.iterdir())


def test_the_bound_is_what_the_user_says_or_a_share_of_what_is_free(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert 0 < memory_bound() < free_memory()
    with bounded(0.5):
        assert memory_bound() == memory_bound(None, 0.9) == 2**29
    for wrong in ("much", "0", "-1", "nan"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(NgfHubError, match=VARIABLE):
            memory_bound()
    monkeypatch.delenv(VARIABLE)
    free = free_memory()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory() < free / 2  # those on one machine share it


@pytest.mark.parametrize("make", [residual, transformer])
def test_batches_in_pieces_tune_as_whole_ones(make):
    classifier = make()
    triggers = (make_trigger("patch:pattern=white,size=3", 1),)
    found = []
    for gib in (None, LITTLE):
        copied = copy.deepcopy(classifier)
        task = replace(make_task(copied), triggers=triggers)
        with bounded(gib):
            images = images_at_once(task, layer_parameters(task))
            ranking = {entry.name: entry.score for _, entry in rank_layers(task, triggers)}
            outcome = make_method("unlearn", {"steps": 3, "batch_size": 8}).tune(task)
        found.append((images, ranking, outcome.losses, copied.state_dict()))
    (whole, ranking, losses, one), (single, other_ranking, other_losses, other) = found
    assert single == 1 < 32 < whole
    assert other_ranking == pytest.approx(ranking, rel=1e-3)
    assert other_losses == pytest.approx(losses, rel=1e-4)
    assert any((value != other[key]).any() for key, value in one.items())  # it was in pieces
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, rtol=1e-3, atol=1e-4)
    assert not any(p.grad is not None for p in classifier.parameters())


def test_what_an_image_keeps_is_counted():
    """A frozen network keeps nothing; one that is tuned from its first layer on keeps most."""
    classifier = residual()
    classifier.requires_grad_(False)
    with bounded(1):
        first = images_at_once(make_task(classifier), [classifier.network.stem.weight])
        last = images_at_once(make_task(classifier), [classifier.network.fc.weight])
    # 4 bytes each of (3 + 5 · 8) · 16² and a few smaller maps, against 8 · 16 inputs of the head.
    assert 2**30 // first > 4 * 8 * 16**2
    assert 2**30 // last < 2**30 // first // 8
    assert not any(p.requires_grad for p in classifier.parameters())
    assert len(quarters()) == 48

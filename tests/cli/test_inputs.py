"""From options to a trigger's target, and to the command that repeats a run."""

import sys

import pytest

from ngf_hub.adapters import ModelSource
from ngf_hub.cli.arguments import TriggerOptions
from ngf_hub.cli.inputs import command_line, read_trigger
from ngf_hub.demo import untrained_classifier
from ngf_hub.errors import TriggerError
from ngf_hub.report import DataInfo
from ngf_hub.triggers import make_trigger

FALLING = [str(digit) for digit in range(9, -1, -1)]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def classifier():
    return untrained_classifier(WORDS, seed=0)


@pytest.mark.parametrize(
    ("target", "index"), [("3", 3), ("three", 3), ("THREE", 3), ("all-to-all", None)]
)
def test_a_target_is_an_index_or_a_name(target, index, classifier):
    assert read_trigger(TriggerOptions("badnets", target), classifier).target == index


@pytest.mark.parametrize("target", ["10", "-1", "²", "ten", ""])
def test_other_targets_are_refused(target, classifier):
    with pytest.raises(TriggerError, match="out of range"):
        read_trigger(TriggerOptions("badnets", target), classifier)


def test_an_index_that_is_another_class_by_name_is_refused():
    with pytest.raises(TriggerError, match="one class by index and another by name"):
        read_trigger(TriggerOptions("badnets", "7"), untrained_classifier(FALLING, seed=0))


def test_a_folder_brings_its_target_which_an_option_replaces(classifier, tmp_path):
    make_trigger("badnets", 4).save(tmp_path)
    folder = str(tmp_path)
    assert read_trigger(TriggerOptions(folder), classifier).target == 4
    assert read_trigger(TriggerOptions(folder, "5"), classifier).target == 5
    assert read_trigger(TriggerOptions(folder, "all-to-all"), classifier).target is None


@pytest.mark.parametrize("spec", ["~nobody-of-this-name/x", "x" * 5000, "a\0b"])
def test_texts_that_are_no_paths_are_told(spec, classifier):
    with pytest.raises(TriggerError, match="no trigger"):
        read_trigger(TriggerOptions(spec, "1"), classifier)


def test_the_command_repeats_the_run_and_publishes_nothing(classifier, tmp_path, monkeypatch):
    make_trigger("badnets", 4).save(tmp_path / "my-trigger")
    classifier.source = ModelSource(name="org/model", commit="c" * 40)
    words = [
        "/usr/bin/ngf-hub", "purify", "hf-hub:org/model@main", "--dataset", "org/data",
        "-t", str(tmp_path / "my-trigger"), "--push-to", "me/mine", "--private",
        "--forget", str(tmp_path / "my-trigger"), f"--forget={tmp_path / 'scanned'}/",
        f"--output={tmp_path}", "--json", "--seed", "3",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    assert command_line(classifier, DataInfo(name="org/data", revision="d" * 40)) == [
        "ngf-hub", "purify", "org/model", "--dataset", "org/data", "-t", "trigger",
        "--forget", "my-trigger", "--forget=scanned", "--seed", "3",
        "--revision", "c" * 40, "--dataset-revision", "d" * 40,
    ]  # fmt: skip

"""The corpus of crafted files: what is caught, what is not, and that nothing is ever run."""

import os
import subprocess
import sys
import time

import pytest

from ngf_hub.evidence.files import inspect_pickle, scan_pickle

from . import corpus

pytestmark = pytest.mark.filterwarnings("ignore")

HOSTILE = corpus.cases(hostile=True)
BENIGN = corpus.cases(hostile=False, heavy=True)
# A class of another package, of no telling name, that writes a file when it is made: told as
# unusual, and refused where it would be loaded, but not known as dangerous.
MISSED = {"pdf.pkl"}
# What is plain tensors passes the gate in front of loading; nothing else does.
PLAIN = {"state.bin", "state_legacy.bin", "optimizer.pt", "like_a_pickle.bin"}


def name(case):
    return case.name


def test_the_corpus_is_large_and_varied():
    assert len(HOSTILE) >= 25
    assert len(BENIGN) >= 10
    assert len({case.about for case in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("case", HOSTILE, ids=name)
def test_hostile_files(case, tmp_path):
    path, mark = corpus.make(case, tmp_path)
    found = inspect_pickle(path)
    assert scan_pickle(path), "it would be loaded"
    dangerous = [finding for finding in found if finding.severity == "dangerous"]
    assert bool(dangerous) is (case.name not in MISSED)
    assert found
    assert not mark.exists()
    for finding in found:
        assert finding.file == case.name
        assert finding.reason.isprintable()


@pytest.mark.parametrize("case", BENIGN, ids=name)
def test_benign_files(case, tmp_path):
    path, _ = corpus.make(case, tmp_path)
    found = inspect_pickle(path)
    assert [finding for finding in found if finding.severity != "unusual"] == []
    assert (scan_pickle(path) == []) is (case.name in PLAIN)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_hostile_files_are_no_duds(tmp_path):
    """Each of them runs its payload in who loads it, so that catching it means something."""
    arguments, marks = [], {}
    for case in HOSTILE:
        if case.loader is not None:
            (tmp_path / case.name).mkdir()
            path, mark = corpus.make(case, tmp_path / case.name)
            arguments += [str(path), case.loader]
            marks[case.name] = mark
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.evidence.fire", *arguments]
    subprocess.run(command, env=env, capture_output=True, timeout=300)
    deadline = time.monotonic() + 10  # some start a process and do not wait for it
    while not all(mark.exists() for mark in marks.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {case for case, mark in marks.items() if not mark.exists()} == set()
    assert len(marks) > 50


def test_names_of_gadgets_in_other_scanners_lists():
    """All that picklescan lists as dangerous is dangerous here."""
    from picklescan import scanner

    from ngf_hub.evidence.pickle_names import danger
    from ngf_hub.evidence.pickle_parts import Name

    for module, names in scanner._unsafe_globals.items():
        names = {"anything"} if names == "*" else {names} if isinstance(names, str) else names
        assert all(danger(Name(module, each)) for each in names), module

"""A second scan of a list does only what is new; one that fails costs the others nothing."""

import dataclasses
import shutil

import pytest

from ngf_hub.data import load_unlabelled
from ngf_hub.demo import untrained_classifier
from ngf_hub.scan_report import ScanReport
from ngf_hub.scans.jobs import Job, Wanted, plan, scan_jobs
from ngf_hub.scans.store import ScanStore
from tests.scan_kinds import Corner, Crash, Quiet, Unlucky, installed

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture
def store(tmp_path):
    return ScanStore(tmp_path / "cache" / "scans")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    untrained_classifier(DIGITS, seed=0).save(path)
    return path


@pytest.fixture
def wanted():
    images, info = load_unlabelled("digits", samples=8)
    return Wanted(images, info, {"kinds": ["corner", "quiet"], "device": "cpu"})


def scan_all(models, wanted, store, tmp_path, **options):
    jobs = plan(models, wanted, store)
    return list(scan_jobs(jobs, wanted, store, tmp_path / "work", **options))


@pytest.fixture(autouse=True)
def workspace(tmp_path):
    (tmp_path / "work").mkdir()
    with installed(Corner, Quiet, Unlucky, Crash):
        yield


def count_scans(monkeypatch):
    scans = []
    from ngf_hub import scanning

    real = scanning.scan_model

    def counted(model, *args, **options):
        scans.append(model)
        return real(model, *args, **options)

    monkeypatch.setattr(scanning, "scan_model", counted)
    return scans


def test_only_what_is_new_is_scanned(folder, wanted, store, tmp_path, monkeypatch):
    scans = count_scans(monkeypatch)
    (first,) = scan_all([str(folder)], wanted, store, tmp_path)
    assert first.report.verdict == "backdoored"
    assert first.report.data.name == "digits"
    (again,) = scan_all([str(folder)], wanted, store, tmp_path)
    assert again.stored
    assert again.report == first.report
    assert scans == [str(folder)]
    wanted.options["seed"] = 1
    (other,) = scan_all([str(folder)], dataclasses.replace(wanted), store, tmp_path)
    assert not other.stored
    assert len(scans) == 2
    no_images = Wanted(options=wanted.options)
    (without,) = scan_all([str(folder)], no_images, store, tmp_path)
    assert without.report.verdict == "nothing found"


def test_the_device_and_batch_size_do_not_matter(folder, wanted, store, tmp_path, monkeypatch):
    scans = count_scans(monkeypatch)
    scan_all([str(folder)], wanted, store, tmp_path)
    wanted.options |= {"batch_size": 3, "device": None}
    scan_all([str(folder)], dataclasses.replace(wanted), store, tmp_path)
    assert len(scans) == 1


def test_a_result_goes_by_the_name_that_was_asked_for(folder, wanted, store, tmp_path):
    scan_all([str(folder)], wanted, store, tmp_path)
    copy = str(shutil.copytree(folder, tmp_path / "copy"))
    (moved,) = scan_all([copy], wanted, store, tmp_path)
    assert moved.stored
    assert (moved.report.name, moved.report.model.name) == (copy, copy)


def test_failures_are_results_and_are_tried_again(folder, wanted, store, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "language").mkdir()
    config = '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'
    (tmp_path / "language" / "config.json").write_text(config)
    models = [tmp_path / "empty", folder, tmp_path / "language", folder]
    for _ in range(2):
        results = scan_all(map(str, models), wanted, store, tmp_path)
        verdicts = [result.report.verdict for result in results]
        assert verdicts == ["failed", "backdoored", "failed"]
        assert "empty folder" in results[0].report.error
        assert "BertForMaskedLM" in results[2].report.error
    assert len(list(store.folder.iterdir())) == 1


def test_one_that_nobody_thought_of_costs_the_others_nothing(
    folder, wanted, store, tmp_path, monkeypatch
):
    def crash(*args, **options):
        raise RuntimeError("boom")

    monkeypatch.setattr("ngf_hub.scanning.load_for", crash)
    (result,) = scan_all([str(folder)], wanted, store, tmp_path)
    assert result.report.verdict == "failed"
    assert "Unexpected RuntimeError: boom." in result.report.error
    with pytest.raises(RuntimeError):
        scan_all([str(folder)], wanted, store, tmp_path, strict=True)


def test_what_did_not_come_to_an_end_is_not_kept(folder, wanted, store, tmp_path):
    wanted.options["kinds"] = ["quiet", "unlucky"]
    (first,) = scan_all([str(folder)], wanted, store, tmp_path)
    assert first.report.verdict == "nothing found"
    assert ScanReport.read(first.folder) == first.report
    assert not store.folder.exists()


def test_interrupted_nothing_that_was_done_is_lost(folder, wanted, store, tmp_path, monkeypatch):
    other = shutil.copytree(folder, tmp_path / "other")
    untrained_classifier(DIGITS, seed=1).save(other)
    jobs = plan([str(folder), str(other)], wanted, store)
    results = scan_jobs(jobs, wanted, store, tmp_path / "work")
    next(results)

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ngf_hub.scanning.load_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    first, second = plan([str(folder), str(other)], wanted, store)
    assert first.result.stored
    assert second.result is None


def test_where_nothing_can_be_kept_it_is_told_once_and_goes_on(folder, wanted, tmp_path):
    (tmp_path / "blocked").write_text("a file")
    store = ScanStore(tmp_path / "blocked" / "scans")
    told = []
    jobs = plan([str(folder)], wanted, store) * 2
    results = list(scan_jobs(jobs, wanted, store, tmp_path / "work", tell=told.append))
    assert [result.report.verdict for result in results] == ["backdoored"] * 2
    assert (results[0].folder / "trigger" / "trigger.json").exists()
    assert sum("not kept" in line for line in told) == 1


def test_each_is_scanned_at_the_commit_that_was_looked_up(wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ngf_hub.scanning.scan_model",
        lambda model, images, **options: asked.append((model, options["revision"])),
    )
    wanted.scan(Job("acme/one", "c" * 40), track=None, tell=None)
    assert asked == [("acme/one", "c" * 40)]


def test_a_hub_model_with_two_names_is_scanned_once(folder, monkeypatch):
    from ngf_hub.scans import jobs
    from ngf_hub.scans.state import ModelState

    real = jobs.model_state

    def state(name, revision=None):
        return ModelState("acme/tiny", "c" * 40) if "acme" in name else real(name)

    monkeypatch.setattr(jobs, "model_state", state)
    planned = plan(["acme/tiny", str(folder), "hf-hub:acme/tiny"], Wanted(), None)
    assert [job.name for job in planned] == ["acme/tiny", str(folder)]

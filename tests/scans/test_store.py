"""What is kept is found under the same key only, and nothing half-written is taken for a result."""

import dataclasses
import os
import shutil
import signal

import pytest

from ngf_hub.scans.store import Key, ScanStore, cache_folder
from ngf_hub.triggers import load_folder
from tests import scan_samples as made

KEY = Key("acme/model", {"model": {"commit": "a" * 40}, "seed": 0})


@pytest.fixture
def store(tmp_path):
    return ScanStore(tmp_path / "cache" / "scans")


def test_what_was_kept_is_found_with_its_triggers(store):
    assert store.find(KEY) is None
    kept = store.keep(KEY, made.scanned())
    found = store.find(KEY)
    assert found.stored
    assert not kept.stored
    assert found.report == kept.report
    assert found.report.triggers[0].folder == "triggers/1-patch-to-3"
    assert load_folder(found.folder / found.report.triggers[0].folder).target == 3
    assert (found.folder / "triggers" / "1-patch-to-3" / "samples.png").exists()


def test_another_seed_is_another_result(store):
    store.keep(KEY, made.scanned())
    other = dataclasses.replace(KEY, content={**KEY.content, "seed": 1})
    assert store.find(other) is None
    store.keep(other, made.scanned(made.clean(), with_triggers=False))
    assert store.find(KEY).report.verdict == "backdoored"
    assert store.find(other).report.verdict == "nothing found"


def test_the_same_key_is_replaced(store):
    store.keep(KEY, made.scanned())
    store.keep(KEY, made.scanned(made.clean(), with_triggers=False))
    found = store.find(KEY)
    assert found.report.verdict == "nothing found"
    assert not (found.folder / "triggers").exists()
    assert len(list(store.folder.iterdir())) == 1


@pytest.mark.parametrize("file", ["scan.json", "key.json"])
@pytest.mark.parametrize("content", [None, "", "{}", "not json \x00"])
def test_a_broken_entry_is_none(store, file, content):
    place = store.keep(KEY, made.scanned()).folder
    if content is None:
        (place / file).unlink()
    else:
        (place / file).write_text(content)
    assert store.find(KEY) is None


def test_an_entry_without_its_triggers_is_none(store):
    shutil.rmtree(store.keep(KEY, made.scanned()).folder / "triggers" / "2-blend-to-3")
    assert store.find(KEY) is None


def test_what_failed_half_way_is_not_there(store, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("ngf_hub.scans.pictures.draw_trigger", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.keep(KEY, made.scanned())
    assert store.find(KEY) is None
    assert not store.folder.exists()


def forked(work):
    """A process of its own that does the work; 0 is its exit code where that went well."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process


def test_several_processes_may_keep_the_same_result_at_once(store):
    def work():
        for _ in range(15):
            assert store.put(KEY, write).report == made.clean()

    def write(folder):
        made.clean().write(folder)
        return made.clean()

    processes = [forked(work) for _ in range(3)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    assert codes == [0, 0, 0]
    assert store.find(KEY).report == made.clean()
    assert [path.name for path in store.folder.iterdir()] == [KEY.name]


def test_what_is_killed_half_way_is_not_there_and_in_nobodys_way(store):
    def killed(folder):
        made.clean().write(folder)
        os.kill(os.getpid(), signal.SIGKILL)

    process = forked(lambda: store.put(KEY, killed))
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    assert store.find(KEY) is None
    store.keep(KEY, made.scanned())
    assert store.find(KEY).report.verdict == "backdoored"
    assert [path.name for path in store.folder.iterdir()] == [KEY.name]


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("NGF_HUB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ngf-hub"
    monkeypatch.setenv("NGF_HUB_CACHE", str(tmp_path / "mine"))
    assert ScanStore().folder == tmp_path / "mine" / "scans"

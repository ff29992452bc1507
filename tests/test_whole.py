"""Folders that appear whole, after processes that were killed in between, too."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest

from ngf_hub.errors import NgfHubError
from ngf_hub.whole import check_place, written_whole


def killed_at(moment, folder) -> None:
    """A process of its own that writes the folder and is killed at a moment."""
    child = os.fork()
    if child == 0:
        die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        try:
            if moment == "between":
                rename = Path.rename
                Path.rename = lambda self, to: die() if ".part-" in self.name else rename(self, to)
            with written_whole(folder) as part:
                (part / "file").write_text("new")
                if moment == "writing":
                    die()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("moment", ["writing", "between"])
@pytest.mark.parametrize("then", [check_place, written_whole])
def test_a_killed_process_costs_nothing(tmp_path, moment, then):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").write_text("before")
    killed_at(moment, folder)
    assert folder.exists() == (moment == "writing")
    assert len(list(tmp_path.iterdir())) == 2
    if then is check_place:
        check_place(folder)
    else:
        with pytest.raises(NgfHubError), written_whole(folder):
            raise OSError("now")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (folder / "file").read_text() == "before"


def test_what_a_running_process_writes_is_left_alone(tmp_path):
    folder = tmp_path / "out"
    with written_whole(folder) as part:
        theirs = part.rename(part.with_name(part.name.replace(str(os.getpid()), str(os.getppid()))))
        check_place(folder)
        assert theirs.is_dir()
        theirs.rename(part)
    elsewhere = tmp_path / ".out.part-elsewhere-999999999"
    elsewhere.mkdir()
    check_place(folder)
    assert elsewhere.is_dir()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("copied", [False, True])
def test_why_it_was_not_written_is_one_line(tmp_path, number, copied):
    error = OSError(number, os.strerror(number), str(tmp_path / "a"))
    if copied:  # as copytree tells it
        error = shutil.Error([(str(tmp_path / "a"), str(tmp_path / "b"), str(error))])
    with pytest.raises(NgfHubError) as caught, written_whole(tmp_path / "out"):
        raise error
    said = "The disk is full" if number == errno.ENOSPC else os.strerror(number)
    assert said in caught.value.message
    assert "[(" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("comes", [True, False], ids=["theirs", "nobody's"])
def test_two_that_write_one_folder_at_once_leave_it_whole(tmp_path, monkeypatch, comes):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").write_text("before")
    rename = Path.rename

    def another_is_quicker(self, to):
        """Each of our moves into the place fails, as if another process had just filled it."""
        if Path(to) != folder:
            return rename(self, to)
        if ".old-" in self.name and comes:
            folder.mkdir()
            (folder / "file").write_text("theirs")
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    monkeypatch.setattr(Path, "rename", another_is_quicker)
    with pytest.raises(NgfHubError, match="not empty"), written_whole(folder) as part:
        (part / "file").write_text("ours")
    monkeypatch.undo()
    if not comes:  # what was moved away is never lost, and is back at the next try
        assert not folder.exists()
        check_place(folder)
    assert (folder / "file").read_text() == ("theirs" if comes else "before")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

"""What a person sees while a fleet scans: on a terminal, and in a file."""

import io

import pytest
from rich.console import Console

from ngf_hub.cli.scan_fleet import MOST_SHOWN, Board, shown_fleet
from ngf_hub.cli.scan_view import in_order, tell_results
from ngf_hub.scan_report import ScanReport
from ngf_hub.scans.engines.base import Watch
from ngf_hub.scans.jobs import Job
from ngf_hub.scans.output import Result

ESCAPE = "org/\x1b[31mred"


def report(name, verdict):
    return ScanReport(name=name, verdict=verdict, error="why" if verdict == "failed" else None)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ngf_hub.cli.scan_fleet.time.monotonic", lambda: now[0])
    return now


def drawn(board):
    console = Console(file=io.StringIO(), width=120)
    console.print(board)
    return console.file.getvalue()


def test_the_board_counts_and_tells_the_time_that_is_left(clock):
    jobs = [Job(f"org/model-{index}") for index in range(12)]
    watch = Watch(workers=2, flying={3: 98.0, 4: 100.0, 5: 100.0}, retried=1)
    board = Board(jobs, watch, total=12, start=100.0)
    assert board.pace == ""
    for verdict in ("nothing found", "backdoored", "failed", "unsafe files"):
        board.add(report("org/model", verdict))
    clock[0] = 110.0
    shown = drawn(board)
    assert "4/12 scanned, 2 flagged, 1 failed, 1 begun again" in shown
    assert "24.0 a minute, about 20 s left" in shown
    # Of those that were handed out the first two run.
    assert "org/model-3  12 s" in shown
    assert "org/model-4  10 s" in shown
    assert "org/model-5" not in shown
    assert board.summary == (
        "4 scanned in 10 s by 2 workers (24.0 a minute); 1 begun again because a worker died."
    )


def test_of_many_that_run_only_some_are_named(clock):
    jobs = [Job(f"org/model-{index}") for index in range(20)]
    board = Board(jobs, Watch(workers=20, flying=dict.fromkeys(range(20), 100.0)), total=20)
    assert f"and {20 - MOST_SHOWN} more" in drawn(board)


def test_a_name_cannot_paint_the_terminal(clock):
    shown = drawn(Board([Job(ESCAPE)], Watch(flying={0: 100.0}), total=1))
    assert "\x1b" not in shown
    assert "org/red" in shown


@pytest.mark.parametrize(("done", "seconds", "expected"), [
    (30, 10, "3.0 a second"), (1, 120, "30.0 an hour"), (1, 2, "30.0 a minute"),
])  # fmt: skip
def test_the_pace(clock, done, seconds, expected):
    board = Board([], Watch(), total=done, start=100.0)
    board.done = done
    clock[0] += seconds
    assert board.pace == expected


def test_in_a_file_each_is_a_line_and_the_order_is_that_of_the_list(capsys):
    names = ["org/zero", "org/one", "org/two"]
    jobs = [Job(name) for name in names]
    jobs[1].result = Result(report("org/one", "nothing found"), stored=True)
    found = [(1, jobs[1].result)]
    found += [(2, Result(report("org/two", "backdoored")))]
    found += [(0, Result(report("org/zero", "failed")))]
    with shown_fleet(jobs, Watch(), alone=False) as board:
        results = in_order(tell_results(iter(found), jobs, board))
    assert [result.report.name for result in results] == names
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "3 models: 2 to scan, 1 scanned before"
    assert told[1].startswith("[2/3] org/two: backdoored; about")
    assert told[2] == "[3/3] org/zero: failed"
    assert told[3].startswith("2 scanned in 1 s by 1 worker")
    assert (board.done, board.flagged, board.failed) == (2, 1, 1)


def test_one_process_shows_itself():
    with shown_fleet([Job("org/zero")], Watch(), alone=True) as board:
        assert board is None

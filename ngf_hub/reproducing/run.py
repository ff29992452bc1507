"""Fetch a published result, run it again, and compare."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ngf_hub.bundle import weight_files
from ngf_hub.errors import NgfHubError
from ngf_hub.progress import Track, silent
from ngf_hub.report import Report
from ngf_hub.report_parts import write_part
from ngf_hub.reproducing.fetched import Fetched, fetch
from ngf_hub.reproducing.plan import Mine, make_plan
from ngf_hub.reproducing.result import (
    REPRODUCTION_FILE,
    Figure,
    Reproduction,
    Statement,
    compare_figures,
    compare_statements,
    compare_versions,
)
from ngf_hub.text import plain, redact
from ngf_hub.whole import check_own, check_place, check_writable, written_whole

RESULT = "result"
# A purification that says itself that it is not established that the backdoor is gone.
_ENDS_RIGHT = (0, 3)


def reproduce(
    source: str | Path,
    *,
    revision: str | None = None,
    model: str | Path | None = None,
    dataset: str | Path | None = None,
    forget: Sequence[str | Path] = (),
    output: str | Path | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
    token: str | None = None,
    show: bool = False,
    track: Track = silent,
) -> Reproduction:
    """Run a published result again and say whether its figures hold.

    >>> reproduce("org/model-purified").agrees  # doctest: +SKIP

    The source model and the dataset are fetched at the commits that the report names, and
    the recorded command runs with the recorded options and seed in a process of its own.
    Rates agree where their 95 % Wilson intervals overlap. Where the published weights are
    not those of the run, they are measured too: a true report beside other weights does
    not agree.

    Args:
        source: A repository that ``ngf-hub publish`` made or proposed to, or a folder that
            a run wrote.
        revision: Branch, tag or commit of a repository; ``refs/pr/N`` for a pull request.
        model: The source model, where the run read a local one.
        dataset: The dataset, likewise.
        forget: Folders of the triggers that the method was told to forget.
        output: Keeps ``reproduction.json`` and the result of the run, in ``result/``.
        device: See :func:`ngf_hub.devices.make_accelerator`.
        trust_remote_code: Let the source model run code of its repository, if the run did.
        token: Instead of the one that Hub clients find by themselves.
        show: Let the run show its progress on standard error.
        track: Shows the progress of what is measured afterwards.

    Raises:
        NgfHubError: It cannot be fetched, is recorded in no way that can be run again, or
            the run fails; each says which.
    """
    mine = Mine(
        model=None if model is None else str(model),
        dataset=None if dataset is None else str(dataset),
        forget=tuple(Path(folder).expanduser() for folder in forget),
        device=device,
        trust_remote_code=trust_remote_code,
    )
    place = None if output is None else check_reproduction(Path(output), str(source))
    with tempfile.TemporaryDirectory(prefix="ngf-hub-reproduce-") as temporary:
        inputs, empty = Path(temporary, "published"), Path(temporary, "empty")
        inputs.mkdir()
        empty.mkdir()
        fetched = fetch(str(source), inputs, revision=revision, token=token)
        words = make_plan(fetched, mine)
        if fetched.report.kind != "evaluate":
            weight_files(fetched.folder, fetched.weights)  # else there is nothing to compare with
        with _kept(place, Path(temporary, "kept")) as folder:
            result = folder / RESULT
            start = time.perf_counter()
            _run([*words, f"--output={result}"], empty, show=show, token=token)
            seconds = time.perf_counter() - start
            reproduction = _compare(fetched, result, mine, seconds, track)
            write_part(reproduction, folder / REPRODUCTION_FILE)
    return reproduction


def check_reproduction(folder: Path, source: str = "") -> Path:
    """Refuse a place for a reproduction that holds anything but one.

    Args:
        folder: The place.
        source: What is reproduced, which is never replaced.

    Returns:
        The place, with links followed.

    Raises:
        NgfHubError: It is such a place.
    """
    shown, folder = folder, check_place(folder, [source] if source else [])
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / REPRODUCTION_FILE).is_file():
            raise NgfHubError(
                f"{shown} is not empty and holds no {REPRODUCTION_FILE} of ngf-hub.",
                "Give another --output; nothing of others is overwritten.",
            )
        ours = (REPRODUCTION_FILE, RESULT)
        check_own(shown, folder, lambda entry: entry.name in ours and not entry.is_symlink())
    check_writable(folder.parent)
    return folder


@contextmanager
def _kept(place: Path | None, otherwise: Path) -> Iterator[Path]:
    """The folder that the result goes into: one that stays, or a temporary one."""
    if place is None:
        otherwise.mkdir()
        yield otherwise
    else:
        with written_whole(place) as part:
            yield part


def _run(words: Sequence[str], folder: Path, *, show: bool, token: str | None) -> None:
    """Run a command of this tool in a process of its own, without a shell.

    Args:
        words: The command and its options.
        folder: An empty folder to run in, so that no relative path names anything.
        show: Let it write to this process's standard error.
        token: For what it fetches.

    Raises:
        NgfHubError: It fails; the message is its own.
    """
    env = {**os.environ, **({"HF_TOKEN": token} if token else {})}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        done = subprocess.run(
            [sys.executable, "-m", "ngf_hub.cli", *words],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if show else log,
            check=False,
        )
        if done.returncode in _ENDS_RIGHT:
            return
        log.seek(0)
        lines = [line for line in log.read().splitlines() if line.startswith("Error: ")]
    said = lines[-1].removeprefix("Error: ") if lines else "see above" if show else "no message"
    said = plain(redact(said, [token]), 600)
    raise NgfHubError(f"The run ended with exit code {done.returncode}: {said}")


def _compare(
    fetched: Fetched, result: Path, mine: Mine, seconds: float, track: Track
) -> Reproduction:
    """Everything that is compared."""
    from ngf_hub.reproducing.weights import compare_weights, measure_published

    published, reproduced = fetched.report, Report.read(result)
    notes: list[str] = []
    measured: list[Figure] = []
    weights = None
    shown = True
    if published.kind != "evaluate":
        weights = compare_weights(fetched.folder, fetched.weights, result)
    if weights is not None and not weights.equal:
        try:
            measured = list(measure_published(fetched, result, mine, track))
        except NgfHubError as error:
            shown = False
            notes.append(f"The published weights could not be measured: {error}")
    equal = weights is None or weights.equal
    figures = compare_figures(published, reproduced, equal=equal)
    statements = compare_statements(published, reproduced)
    if (card := _card(fetched)) is not None:
        statements.append(card)
    options = published.provenance.arguments.get("options")
    if isinstance(options, dict) and options.get("budget") not in (None, 0, "0", "0.0"):
        notes.append("The run had a budget of seconds, so that it may have tried more or less.")
    rows: list[Figure | Statement] = [*figures, *measured, *statements]
    return Reproduction(
        source=fetched.name,
        commit=fetched.commit,
        figures=figures,
        measured=measured,
        statements=statements,
        weights=weights,
        versions=compare_versions(published, reproduced),
        notes=notes,
        agrees=shown and all(row.agrees is not False for row in rows),
        seconds=round(seconds, 1),
        report=reproduced,
    )


def _card(fetched: Fetched) -> Statement | None:
    """Whether the published card states the figures of the published report."""
    from ngf_hub.bundle import check_card
    from ngf_hub.card import CARD_FILE
    from ngf_hub.errors import ReportError

    if not (fetched.folder / CARD_FILE).is_file():
        return None
    try:
        check_card(fetched.folder, fetched.report)
    except ReportError:
        return Statement(
            name="Figures on the card", published="others", reproduced="the report's", agrees=False
        )
    return Statement(
        name="Figures on the card", published="the report's", reproduced="the report's", agrees=True
    )

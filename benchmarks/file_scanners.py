"""What scanners of pickles catch of a corpus of crafted files, and what they cry wolf at.

    python -m benchmarks.file_scanners [--heavy] [--all] [--also FOLDER]

picklescan says dangerous; fickling has degrees, of which two are shown: likely
unsafe, which it says of every module outside the standard library, and likely
overtly malicious. Ours is :func:`ngf_hub.evidence.files.inspect_pickle` with
the severity "dangerous", and, as the gate in front of loading, ``scan_pickle``.
fickling is no dependency: ``pip install fickling`` first. ``--also`` counts, on
files that were not made for this, how many each scanner calls dangerous: on the
pickles that ship with installed packages, which are harmless, false alarms.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ngf_hub.evidence.files import inspect_pickle, scan_pickle
from tests.evidence import corpus

Scanner = Callable[[Path], bool]


def picklescan(path: Path) -> bool:
    """Whether picklescan finds a dangerous global."""
    from picklescan.scanner import scan_file_path

    return bool(scan_file_path(str(path)).issues_count)


def fickling(path: Path, degree: str) -> bool:
    """Whether fickling's severity is at least ``degree``."""
    from fickling.analysis import Severity
    from fickling.loader import scan_file, scan_zip_archive

    if zipfile.is_zipfile(path):
        results = list(scan_zip_archive(str(path), graceful=True).values())
    else:
        results = [scan_file(str(path), graceful=True)]
    return any(result.severity >= Severity[degree] for result in results)


def ours(path: Path) -> bool:
    """Whether a file is dangerous by our own verdict."""
    return any(found.severity == "dangerous" for found in inspect_pickle(path))


SCANNERS: dict[str, Scanner] = {
    "picklescan": picklescan,
    "fickling unsafe": lambda path: fickling(path, "LIKELY_UNSAFE"),
    "fickling malicious": lambda path: fickling(path, "LIKELY_OVERTLY_MALICIOUS"),
    "ours": ours,
    "ours refuses to load": lambda path: bool(scan_pickle(path)),
}
GATE = "ours refuses to load"


@dataclass
class Row:
    """What each scanner said of one file: True, False, or None where it failed."""

    name: str
    about: str
    hostile: bool
    said: dict[str, bool | None] = field(default_factory=dict)


def verdict(scanner: Scanner, path: Path) -> bool | None:
    """What a scanner says of a file; one that breaks on it has not judged it."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return scanner(path)
    except Exception:
        return None


def measure(cases: list[corpus.Case], seconds: dict[str, float]) -> list[Row]:
    """Every scanner on every file."""
    rows = []
    for case in cases:
        row = Row(case.name, case.about, case.hostile)
        with tempfile.TemporaryDirectory() as folder:
            path, mark = corpus.make(case, Path(folder))
            for name, scanner in SCANNERS.items():
                start = time.perf_counter()
                row.said[name] = verdict(scanner, path)
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
                if mark.exists():
                    raise RuntimeError(f"{name} ran what {case.name} holds")
        rows.append(row)
    return rows


def table(rows: list[Row], everything: bool) -> None:
    """Print the rows on which the scanners differ or err, or all."""
    shown = {True: "yes", False: "-", None: "fails"}
    columns = " | ".join(SCANNERS)
    print(f"| file | what it is | {columns} |\n| --- | --- |{' --- |' * len(SCANNERS)}")
    for row in rows:
        verdicts = [said for name, said in row.said.items() if name != GATE]
        if everything or any(said is not row.hostile for said in verdicts):
            said = " | ".join(shown[row.said[name]] for name in SCANNERS)
            print(f"| {row.name} | {row.about} | {said} |")


def alarms(folder: Path, limit: int = 50 << 20) -> None:
    """Print how many pickles below a folder each scanner calls dangerous."""
    endings = {".pkl", ".pickle", ".npy", ".npz", ".joblib", ".pt", ".pth", ".ckpt", ".p", ".gz"}
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in endings]
    paths = [path for path in found if path.is_file() and 0 < path.stat().st_size < limit]
    print(f"\n{len(paths)} files below the folder given\n| scanner | dangerous | fails on |")
    print("| --- | --- | --- |")
    for name, scanner in SCANNERS.items():
        said = [verdict(scanner, path) for path in paths]
        print(f"| {name} | {said.count(True)} | {said.count(None)} |")


def main() -> None:
    """Make the corpus, scan it, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heavy", action="store_true", help="with files that are slow to make")
    parser.add_argument("--all", action="store_true", help="also the files that all judge rightly")
    parser.add_argument("--also", type=Path, help="a folder of other files, for false alarms")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        version("fickling")
    except PackageNotFoundError:
        sys.exit("Install fickling to compare with it.")
    for scanner in SCANNERS.values():  # imports are not measured
        verdict(scanner, Path(__file__))
    seconds: dict[str, float] = {}
    hostile = measure(corpus.cases(hostile=True, heavy=options.heavy), seconds)
    benign = measure(corpus.cases(hostile=False, heavy=options.heavy), seconds)
    for title, rows in (("hostile", hostile), ("benign", benign)):
        shown = "" if options.all else ", those that somebody misjudges"
        print(f"\n{len(rows)} {title} files{shown}")
        table(rows, options.all)
    print("\n| scanner | caught | false alarms | fails on | ms a file |")
    print("| --- | --- | --- | --- | --- |")
    total = len(hostile) + len(benign)
    for name in SCANNERS:
        caught = sum(row.said[name] is True for row in hostile)
        false = sum(row.said[name] is True for row in benign)
        failed = sum(row.said[name] is None for row in (*hostile, *benign))
        counts = f"{caught} of {len(hostile)} | {false} of {len(benign)} | {failed}"
        print(f"| {name} | {counts} | {1000 * seconds[name] / total:.1f} |")
    others = ("picklescan", "fickling malicious")
    missed = [row for row in hostile if not any(row.said[name] for name in others)]
    print(f"\nNeither picklescan nor fickling (malicious) catches {len(missed)}:")
    for row in missed:
        print(f"  {row.name}: {row.about}" + ("" if row.said["ours"] else " (nor do we)"))
    print("versions: picklescan", version("picklescan"), "fickling", version("fickling"))
    if options.also is not None:
        alarms(options.also)


if __name__ == "__main__":
    main()

"""Output folders of every outcome and their pages, made once; and a browser."""

import pytest

from ngf_hub.pages.folder import write_page
from ngf_hub.scan_report import ScanReport
from ngf_hub.scans.output import Result, write_results
from tests import scan_samples
from tests.pages import samples
from tests.pages.browser import Browser, find


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The pages by name: each outcome of a report, a scan, a fleet, a hostile fleet."""
    base = tmp_path_factory.mktemp("pages")
    for name, make in samples.OUTCOMES.items():
        samples.write(base / name, make())
    write_results(base / "scan", [scan_samples.result(base / "one")], many=False)
    write_results(base / "fleet", fleet(base / "first"), many=True)
    names = [*samples.OUTCOMES, "scan", "fleet"]
    return {name: write_page(base / name, base / f"{name}.html") for name in names}


def fleet(folder) -> list[Result]:
    """A result of every verdict, the first with pictures, and a hostile one."""
    others: tuple[ScanReport, ...] = (
        scan_samples.clean(),
        scan_samples.unsafe(),
        scan_samples.failure(),
        scan_samples.report(name="acme/unclear", verdict="inconclusive", confidence=0.5),
        scan_samples.hostile(),
    )
    return [scan_samples.result(folder), *(Result(report) for report in others)]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium."""
    if find() is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()

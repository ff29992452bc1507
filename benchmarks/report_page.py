"""What the pages cost: seconds to make and to show a fleet's, and the figure of a report's.

    python -m benchmarks.report_page --models 1000 --folder ngf-demo --figure figures/report.png

The fleet is made up, with what a scan says of a model; the figure is of an output folder,
in Chromium, on a desk in light and on a phone in dark colours.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from PIL import Image

from ngf_hub.pages.folder import folder_page
from ngf_hub.pages.scan_page import scan_page
from tests import scan_samples
from tests.pages.browser import Browser, find

DESK, PHONE = (1120, 1010), (360, 1010)
SCALE = 0.75


def fleet(models: int) -> str:
    """The page of so many models, one in twenty of them backdoored."""
    makers = [scan_samples.report, *[scan_samples.clean] * 19]
    reports = [makers[n % 20](name=f"org/model-{n}", p_value=n / models) for n in range(models)]
    start = time.perf_counter()
    text = scan_page([(report, None) for report in reports])
    print(f"{models} models: page of {len(text) / 1e6:.1f} MB", end=" ")
    print(f"made in {time.perf_counter() - start:.1f} s")
    return text


def shown(browser: Browser, page: Path) -> None:
    """How long Chromium takes to show the page and to sort it by a column."""
    for name, (width, height) in (("desk", DESK), ("phone", PHONE)):
        start = time.perf_counter()
        browser.open(page, width=width, height=height)
        browser.evaluate("document.body.offsetHeight")
        loaded = time.perf_counter() - start
        milliseconds = browser.evaluate(
            "(() => { const t = performance.now();"
            ' document.querySelectorAll("th button")[4].click(); document.body.offsetHeight;'
            " return performance.now() - t; })()"
        )
        print(f"{name}: shown in {loaded:.1f} s, sorted in {milliseconds / 1000:.2f} s")


def figure(browser: Browser, page: Path, workspace: Path, path: Path) -> None:
    """The top of a page, on a desk in light and on a phone in dark colours, side by side."""
    parts = []
    for (width, height), dark in ((DESK, False), (PHONE, True)):
        browser.open(page, width=width, height=height, dark=dark)
        browser.evaluate('document.documentElement.style.overflow = "hidden"')
        parts.append(Image.open(browser.screenshot(workspace / f"{width}.png")).convert("RGB"))
    desk, phone = parts
    sheet = Image.new("RGB", (desk.width + phone.width + 40, desk.height), "#ffffff")
    sheet.paste(desk, (0, 0))
    sheet.paste(phone, (desk.width + 20, (desk.height - phone.height) // 2))
    size = (round(sheet.width * SCALE), round(sheet.height * SCALE))
    small = sheet.resize(size, Image.Resampling.LANCZOS).quantize(128, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="what `ngf-hub demo` wrote")
    parser.add_argument("--figure", type=Path, default=Path("benchmarks/figures/report.png"))
    arguments = parser.parse_args()
    text = fleet(arguments.models)
    if find() is None:
        print("no Chromium is installed: nothing is shown")
        return
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        browser = Browser(workspace / "profile")
        try:
            page = workspace / "page.html"
            page.write_text(text, encoding="utf-8")
            shown(browser, page)
            if arguments.folder is not None:
                page.write_text(folder_page(arguments.folder), encoding="utf-8")
                figure(browser, page, workspace, arguments.figure)
        finally:
            browser.close()


if __name__ == "__main__":
    main()

"""The pages as Chromium shows them: on a phone and a desk, light and dark."""

import time

import pytest
from PIL import Image

from ngf_hub.pages.scan_page import scan_page
from tests import scan_samples
from tests.pages.samples import OUTCOMES

PAGES = [*OUTCOMES, "scan", "fleet"]
PHONE = {"width": 360, "height": 800}

# Texts whose contrast with what lies behind them is below what WCAG 2.2 AA asks (1.4.3).
FAINT = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (colour) => {
    const [r, g, b] = Array.from(colour).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba(getComputedStyle(document.body).backgroundColor);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".unseen, script")) continue;
    const style = getComputedStyle(element);
    const a = light(rgba(style.color)), b = light(behind(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) found.push([element.textContent.trim().slice(0, 40), ratio]);
  }
  return found;
})()
"""
WIDER = """
Array.from(document.querySelectorAll("body *"))
  .filter((e) => e.checkVisibility() && !e.closest(".unseen, thead"))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.tagName + "." + e.getAttribute("class"))
"""
OPEN_ALL = 'document.querySelectorAll("details").forEach((e) => { e.open = true; })'


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_all_of_it(browser, pages, name, dark):
    browser.open(pages[name], **PHONE, dark=dark)
    browser.evaluate(OPEN_ALL)
    assert browser.evaluate("document.documentElement.scrollWidth") == 360
    assert browser.evaluate(WIDER) == []
    assert browser.evaluate(FAINT) == []
    assert browser.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_a_desk_shows_all_of_it(browser, pages, name):
    browser.open(pages[name])
    browser.evaluate(OPEN_ALL)
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate(FAINT) == []
    assert browser.complaints == []
    assert browser.requests == []
    assert browser.evaluate("Array.from(document.images).every((i) => i.naturalWidth > 0)")


def test_the_probe_for_faint_text_sees_some(browser, pages):
    browser.open(pages["removed"])
    browser.evaluate('document.querySelector("h1").style.color = "#ccc"')
    assert browser.evaluate(FAINT)[0][0] == "acme/resnet-cifar"


@pytest.mark.parametrize("name", ["hostile", "fleet"])
def test_hostile_names_do_not_run(browser, pages, name):
    browser.open(pages[name])
    assert 'alert("x")' in browser.evaluate("document.body.textContent")
    scripts = browser.evaluate("document.scripts.length")
    assert scripts == (1 if name == "fleet" else 0)
    assert browser.evaluate('document.querySelectorAll("[onmouseover]").length') == 0


def test_the_policy_stops_what_would_be_injected(browser, pages, tmp_path):
    text = pages["fleet"].read_text(encoding="utf-8")
    bad = (
        "<script>window.ran = 1</script><img src='x.png' onerror='window.ran = 2'>"
        "<style>body { color: rgb(1, 2, 3) }</style><link rel=stylesheet href=http://e.invalid/x>"
    )
    injected = tmp_path / "injected.html"
    injected.write_text(text.replace("<main>", "<main>" + bad), encoding="utf-8")
    browser.open(injected)
    assert browser.evaluate("window.ran") is None
    assert browser.evaluate("getComputedStyle(document.body).color") != "rgb(1, 2, 3)"
    assert len(browser.complaints) >= 4


def column(browser, number) -> list[str]:
    return browser.evaluate(
        f'Array.from(document.querySelector("tbody").rows, (r) => r.cells[{number}].innerText)'
    )


def click(browser, heading) -> None:
    browser.evaluate(
        'Array.from(document.querySelectorAll("th button"))'
        f'.find((b) => b.innerText === "{heading}").click()'
    )


def test_columns_sort(browser, pages):
    browser.open(pages["fleet"])
    assert column(browser, 1)[0] == "backdoored"
    click(browser, "Model")
    names = column(browser, 0)
    assert names == sorted(names, key=str.lower)
    click(browser, "Model")
    assert column(browser, 0) == names[::-1]
    click(browser, "Confidence")
    assert [text for text in column(browser, 3) if text] == ["50.0 %", "99.9 %", "99.9 %"]
    click(browser, "Verdict")
    assert column(browser, 1)[-1] == "nothing found"
    pressed = 'Array.from(document.querySelectorAll("th[aria-sort]"), (e) => e.innerText)'
    assert browser.evaluate(pressed) == ["Verdict"]


def test_rows_are_filtered(browser, pages):
    browser.open(pages["fleet"])
    assert browser.evaluate('document.querySelector(".filter").checkVisibility()')
    browser.evaluate(
        'const f = document.getElementById("filter"); f.value = "EVIL unsafe";'
        'f.dispatchEvent(new Event("input"))'
    )
    visible = 'Array.from(document.querySelector("tbody").rows).filter((r) => !r.hidden).length'
    assert browser.evaluate(visible) == 1
    assert browser.evaluate('document.getElementById("shown").innerText') == "1 of 6"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_row_leads_to_its_evidence(browser, pages, scripts):
    browser.open(pages["fleet"], scripts=scripts)
    browser.evaluate('location.hash = document.querySelector("tbody a").hash')
    for _ in range(50):
        if browser.evaluate('document.querySelector("details.model").open'):
            break
        time.sleep(0.02)
    place = 'document.getElementById("model-1").getBoundingClientRect()'
    assert browser.evaluate(f"{place}.height") > 100
    assert 0 <= browser.evaluate(f"{place}.top") < 900


def test_without_script_the_table_is_whole_and_offers_nothing_that_fails(browser, pages):
    browser.open(pages["fleet"], scripts=False)
    assert len(column(browser, 0)) == 6
    assert browser.evaluate('document.querySelectorAll("button").length') == 0
    assert not browser.evaluate('document.querySelector(".filter").checkVisibility()')


def test_dark_is_dark(browser, pages, tmp_path):
    for dark, expected in ((False, range(200, 256)), (True, range(60))):
        browser.open(pages["removed"], dark=dark)
        path = browser.screenshot(tmp_path / "shown.png")
        with Image.open(path) as image:
            assert image.size == (1280, 900)
            assert image.convert("L").getpixel((5, 400)) in expected


def test_a_printed_report_shows_what_is_folded(browser, pages):
    browser.open(pages["removed"])
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = 'document.querySelector("details:not([open]) > :not(summary)").getBoundingClientRect()'
    height = browser.evaluate(f"{shown}.height")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert height > 50


def test_a_thousand_models_stay_quick(browser, tmp_path):
    reports = [
        scan_samples.clean(name=f"org/model-{n}", p_value=n / 1000, model=None) for n in range(1000)
    ]
    page = tmp_path / "fleet.html"
    page.write_text(scan_page([(report, None) for report in reports]), encoding="utf-8")
    assert page.stat().st_size < 6e6
    start = time.monotonic()
    browser.open(page, **PHONE)
    assert browser.evaluate("document.documentElement.scrollWidth") == 360
    assert time.monotonic() - start < 20
    click(browser, "p-value")
    click(browser, "p-value")
    taken = browser.evaluate(
        "(() => { const t = performance.now();"
        ' document.querySelectorAll("th button")[4].click(); document.body.offsetHeight;'
        " return performance.now() - t; })()"
    )
    assert column(browser, 0)[0] == "org/model-0"
    assert taken < 3000  # milliseconds, on a machine with other work

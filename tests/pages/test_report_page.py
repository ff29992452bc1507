"""The page of a report: complete, safe against names that strangers choose, alone in its file."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from ngf_hub.errors import NgfHubError, ReportError
from ngf_hub.outcome import read_outcome
from ngf_hub.pages.folder import folder_page, write_page
from ngf_hub.pages.measured import banner
from ngf_hub.pages.pictures import Album
from ngf_hub.pages.report_page import report_page
from ngf_hub.report import Rate
from tests import report_samples as made
from tests import scan_samples
from tests.pages import samples

TOKEN = "hf_" + "b" * 30


class Page(HTMLParser):
    """Tags with attributes, and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._hidden = [], [], False
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._hidden = tag in ("style", "script")

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)

    def all(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]


def page_of(content, folder=None):
    return Page(report_page(content, folder))


def told(content):
    return banner(content, read_outcome(content))


@pytest.mark.parametrize(
    ("name", "tone", "title"),
    [
        ("purified", "good", "Purified"),
        ("precaution", "info", "Precaution"),
        ("not established", "warn", "Not established"),
        ("nothing found", "info", "Nothing found"),
        ("removed", "good", "Backdoor removed"),
        ("research", "bad", "Backdoored on purpose"),
        ("evaluation", "bad", "Backdoor present"),
    ],
)
def test_the_verdict_of_each_outcome(name, tone, title):
    content = samples.OUTCOMES[name]()
    verdict = told(content)
    assert (verdict.tone, verdict.title) == (tone, title)
    text = page_of(content).text
    assert verdict.said in text
    assert all(paragraph in text for paragraph in verdict.basis)


def test_what_the_cure_doubts_is_never_shown_as_good():
    content = samples.report(cure=samples.cure("not established"))
    verdict = told(content)
    assert (verdict.tone, verdict.title) == ("warn", "Not established")
    assert verdict.said == "The trigger no longer works."


def test_what_the_true_trigger_says_outweighs_the_cure():
    content = samples.report(after=made.measurement(1690, 1700, 50))
    assert content.cure.state == "purified"
    assert (told(content).tone, told(content).title) == ("bad", "Backdoor present")


def test_lost_accuracy_stands_in_the_verdict():
    content = samples.report(after=made.measurement(1500, 49, 1400))
    assert any("fell by 9.9 percentage points" in text for text in told(content).basis)


def test_every_figure_of_the_results():
    text = page_of(samples.report()).text
    for shown in (
        "84.9 % 95 % interval 83.3 to 86.4",
        "84.5 % 95 % interval 82.8 to 86.0",
        "n = 2,000",
        "100.0 % 95 % interval 99.8 to 100.0",
        "−0.4 points",
        "−97.3 points",
        "dashed: limit 10 %",
    ):
        assert shown in text, shown


def test_bars_are_as_long_as_the_rates():
    rectangles = [a for a in page_of(samples.report()).all("rect") if a["class"] != "ground"]
    widths = [(a["class"], float(a["width"])) for a in rectangles[:6]]
    assert widths == [
        ("before", 849.0), ("after", 845.0), ("before", 1000.0), ("after", 27.2), ("before", 0.0),
        ("after", 840.0),
    ]  # fmt: skip


def test_the_search_the_attempts_and_the_spectrum_are_told():
    text = page_of(samples.report()).text
    for shown in (
        "In the model as it came backdoored",
        "Searched again after purification nothing found",
        "A patch of 9 pixels sends 97 % of images to class 3.",
        "0.0004",
        "patch: the smallest change that leads to each class",
        "margin: the largest margin of each class",
        "0.4 ± 0.1",
        "Largest eigenvalue λ_max 6.00 2.00 0.33 times",
        "Trace 20.0 5.00 0.25 times",
    ):
        assert shown in text, shown


def test_the_suspected_class_is_marked_and_the_bars_have_one_scale():
    bars = [a for a in page_of(samples.report()).all("rect") if a["class"] in ("suspect", "other")]
    patch = [(a["class"], float(a["width"])) for a in bars[:3]]
    assert patch == [("suspect", 263.2), ("other", 842.1), ("other", 1000.0)]


def test_a_report_of_before_there_were_spectra_has_none():
    text = page_of(samples.report(spectrum=None)).text
    assert "Spectrum" not in text


def test_triggers_are_shown_with_what_they_still_do(tmp_path):
    content = samples.report(cure=samples.cure("not established"))
    page = page_of(content, samples.write(tmp_path / "out", content))
    # Two plots; the true trigger and three recovered ones, each applied, mask and pattern.
    assert len(page.all("img")) == 2 + 4 * 3
    assert page.text.count("still works") == 1 + page.text.count("still works on")
    assert "ASR 99.4 % before, 50.0 % after, n = 1800" in page.text
    for picture in page.all("img"):
        assert picture["src"].startswith("data:image/png;base64,")
        assert picture["alt"]


def test_triggers_that_are_broken_or_links_have_no_pictures(tmp_path):
    content = samples.report()
    folder = samples.write(tmp_path / "out", content)
    (folder / "trigger/trigger.json").write_text("{", encoding="utf-8")
    place = folder / "recovered/seen/1-patch"
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    (folder / "recovered.png").unlink()
    (folder / "recovered.png").symlink_to(folder / "trigger.png")
    assert len(page_of(content, folder).all("img")) == 1 + 2 * 3


@pytest.mark.parametrize(
    ("preprocessing", "drawn"),
    [
        ({}, 0),
        ({"size": ["8", None]}, 0),
        ({"size": [4096, 4096]}, 0),
        ({"size": [32, 32]}, 12),
        ({"input_size": [1, 32, 32]}, 12),
    ],
)
def test_triggers_are_drawn_in_the_shape_of_the_models_input(tmp_path, preprocessing, drawn):
    content = samples.report(model=made.model(preprocessing=preprocessing))
    folder = samples.write(tmp_path / "out", content)
    assert len(page_of(content, folder).all("img")) == 2 + drawn


@pytest.mark.parametrize("name", samples.OUTCOMES)
def test_nothing_is_fetched_and_nothing_runs(name, tmp_path):
    content = samples.OUTCOMES[name]()
    page = page_of(content, samples.write(tmp_path / "out", content))
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form"} == set()
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'sha256-[A-Za-z0-9+/=]{44}'; "
        r"script-src 'none'; base-uri 'none'; form-action 'none'",
        policy,
    )
    for _, attributes in page.tags:
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        address = attributes.get("href") or attributes.get("src")
        hub = f"https://huggingface.co/acme/resnet-cifar/tree/{made.SOURCE_COMMIT}"
        assert address is None or address.startswith(("#", "data:image/png")) or address == hub


def test_hostile_names_are_text(tmp_path):
    content = samples.hostile()
    text = report_page(content, samples.write(tmp_path / "out", content))
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") > 20
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_tokens_do_not_show():
    content = samples.report(
        warnings=[f"with {TOKEN}"],
        provenance=made.provenance(command=["ngf-hub", "purify", f"https://u:{TOKEN}@host/x"]),
    )
    assert TOKEN not in report_page(content)


def test_folders_of_the_machine_do_not_show():
    content = samples.report(
        model=made.model(name="/home/somebody/secret/net", commit=None),
        data=made.data(name="/home/somebody/images", revision=None),
    )
    text = report_page(content)
    assert "somebody" not in text
    assert "net" in Page(text).text


@pytest.mark.parametrize("name", [*samples.OUTCOMES, "scan", "fleet"])
def test_headings_tables_and_links_make_sense_to_a_screen_reader(pages, name):
    page = Page(pages[name].read_text(encoding="utf-8"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table"))
    assert {a["scope"] for a in page.all("th")} <= {"row", "col"}
    identities = [a["id"] for _, a in page.tags if "id" in a]
    assert len(set(identities)) == len(identities)
    targets = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(targets) <= set(identities)


def test_many_classes_are_bounded():
    many = made.measurement(1698, 1800, 0, classes=1000)
    page = page_of(samples.report(before=many, after=many))
    assert page.text.count("class 99") <= 11
    assert len(page.all("tr")) < 130


def test_rates_of_no_images_are_not_made_up():
    content = samples.evaluation()
    content.before.attack_success = Rate(count=0, n=0)
    page = page_of(content)
    assert "not measured" in page.text
    assert told(content).title == "Not measured"


# Folders


def test_every_kind_of_folder_has_a_page(pages):
    texts = {name: Page(path.read_text(encoding="utf-8")).text for name, path in pages.items()}
    assert "Purification report" in texts["removed"]
    assert "Report of a research attack" in texts["research"]
    assert "How the backdoor was put in" in texts["research"]
    assert "Evaluation report" in texts["evaluation"]
    assert "Scan report" in texts["scan"]
    assert "Scan of a fleet" in texts["fleet"]


def test_a_fleet_keeps_the_pictures_of_its_models(pages):
    assert len(Page(pages["fleet"].read_text(encoding="utf-8")).all("img")) == 6


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"scans": [{}]}', '{"scans": 3}', "[" * 99999]
)
def test_what_is_no_result_is_refused(tmp_path, content):
    with pytest.raises(ReportError, match="no report in"):
        folder_page(tmp_path)
    with pytest.raises(ReportError, match="no folder"):
        folder_page(tmp_path / "missing")
    (tmp_path / "scans.json").write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match="no list of scans"):
        folder_page(tmp_path)


def test_pages_of_this_tool_are_replaced_and_nothing_else(tmp_path):
    folder = samples.write(tmp_path / "out", samples.evaluation())
    path = write_page(folder, tmp_path / "new" / "page.html")
    first = path.read_bytes()
    assert write_page(folder, path).read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]
    other = tmp_path / "mine.html"
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(NgfHubError, match="no page of ngf-hub"):
        write_page(folder, other)
    assert other.read_text(encoding="utf-8") == "mine"
    with pytest.raises(NgfHubError, match="could not be written"):
        write_page(folder, other / "page.html")


def test_a_folder_out_of_the_result_is_not_read(tmp_path):
    result = scan_samples.result(tmp_path / "outer" / "result")
    secret = tmp_path / "outer" / "secret"
    (tmp_path / "outer/result/triggers/1-patch-to-3").rename(secret)
    for place in ("../secret", str(secret), "triggers/../../secret"):
        result.report.triggers[0].folder = place
        result.report.write(result.folder)
        assert len(Page(folder_page(result.folder)).all("img")) == 3  # of the other trigger


def test_the_pictures_of_a_page_are_bounded():
    album = Album(bound=100)
    png = b"\x89PNG\r\n\x1a\n"
    assert album.bytes(png + bytes(80)) is not None
    assert album.bytes(png + bytes(80)) is None
    assert album.left_out == 1
    assert album.bytes(b"GIF89a") is None

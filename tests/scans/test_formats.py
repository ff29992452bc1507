"""JSON, SARIF and page: complete, valid, and safe against names that strangers choose."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from ngf_hub.scan_report import Finding, ScanReport
from ngf_hub.scans.formats import FORMATS, render
from ngf_hub.scans.formats.wording import (
    confidence,
    evidence,
    hub_security,
    model_url,
    p_text,
    sentence,
    summary,
    suspected,
)
from ngf_hub.scans.output import Result
from tests import scan_samples as made

TOKEN = "hf_" + "a" * 30


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One result of every verdict; the first with pictures."""
    folder = tmp_path_factory.mktemp("result")
    others = (
        made.clean(),
        made.unsafe(),
        made.failure(),
        made.report(name="acme/unclear", verdict="inconclusive", findings=made.findings()[-1:]),
        made.hostile(),
    )
    return [made.result(folder), *(Result(report) for report in others)]


# Wording


def test_the_evidence_in_short():
    assert evidence(made.report()) == (
        "flagged: patch (p = 0.0004), sharpness (p = 0.004, weak); "
        "clear: files, margin (p = 0.31); not judged: additive"
    )


def test_confidence_is_rounded_towards_doubt():
    assert confidence(made.report(confidence=0.99999)) == "99.9 %"
    assert confidence(made.report(confidence=0.9)) == "90.0 %"
    assert confidence(made.clean()) == ""


def test_small_p_values_are_not_made_smaller():
    assert p_text(0.0001) == "p ≤ 0.0001"
    assert p_text(0.00012) == "p = 0.00012"
    assert p_text(1.0) == "p = 1"
    assert p_text(None) == ""


def test_classes_and_sentences():
    assert suspected(made.report()) == "3 (cat)"
    assert suspected(made.clean()) == ""
    assert "to class 3 (cat)" in sentence(made.report())
    assert "no proof" in sentence(made.clean())
    assert "no such repository" in sentence(made.failure())
    assert "The weights were loaded safely." not in sentence(made.unsafe())


def test_the_sentence_says_what_led_to_the_verdict():
    told = "patch points to class 3."
    assert sentence(made.report(summary=told)).endswith(f"leads to class 3 (cat). {told}")
    told = "Nothing stands out from clean models in patch and margin."
    proof = "That is no proof that there is no backdoor."
    assert sentence(made.clean(summary=told)) == f"{told} {proof}"
    beside = made.unsafe(model=made.report().model, summary=told)
    assert sentence(beside).endswith(f"The weights were loaded safely. {told}")
    told = "The weights cannot be loaded safely: they are TorchScript."
    refused = made.report(verdict="inconclusive", model=None, summary=told)
    assert sentence(refused) == told
    run = json.loads(render("sarif", [Result(refused)]))["runs"][0]
    assert {told in entry["message"]["text"] for entry in run["results"]} == {True}
    assert run["invocations"][0]["executionSuccessful"] is False
    assert told in " ".join(Page(render("html", [Result(refused)])).texts)


def test_the_summary_counts_the_verdicts(results):
    reports = [result.report for result in results]
    assert summary(reports) == (
        "6 models: 2 backdoored, 1 unsafe files, 1 inconclusive, 1 failed, 1 nothing found"
    )
    assert summary(reports[:1]) == "1 model: 1 backdoored"


def test_only_models_of_the_hub_have_a_page():
    assert model_url(made.report()).endswith(f"/acme/resnet-cifar/tree/{made.COMMIT}")
    assert model_url(made.report(commit=None)) is None
    assert model_url(made.hostile()) is None


def test_the_hubs_own_scan_is_told():
    def told(status):
        finding = Finding(kind="files", summary="x", details={"hub_security": status})
        return hub_security(made.report(findings=[finding]))

    assert told({"scansDone": True, "filesWithIssues": []}) == "no issues"
    assert told({"scansDone": False, "filesWithIssues": []}) == "not finished"
    issue = {"path": "a\x1b[31m.pkl", "level": "unsafe"}
    assert told({"scansDone": True, "filesWithIssues": [issue]}) == "issues with a.pkl (unsafe)"
    for strange in (None, [], {"filesWithIssues": 3}, {"filesWithIssues": [3]}):
        assert told(strange) in ("", "no issues")


# JSON


def test_the_document_holds_every_report_whole(results):
    content = json.loads(render("json", results))
    assert (content["tool"], content["kind"]) == ("ngf-hub", "scans")
    assert content["summary"] == {
        "models": 6, "backdoored": 2, "nothing found": 1, "unsafe files": 1, "failed": 1,
        "inconclusive": 1,
    }  # fmt: skip
    back = [ScanReport.model_validate(entry) for entry in content["scans"]]
    assert back == [result.report for result in results]


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_shows_a_token(name):
    report = made.report(
        warnings=[f"used {TOKEN}"],
        findings=[Finding(kind="patch", status="flagged", summary=f"with {TOKEN}")],
    )
    text = render(name, [Result(report), Result(made.failure(error=f"bad {TOKEN}"))])
    assert TOKEN not in text
    assert "token" in text


# SARIF


@pytest.fixture(scope="module")
def sarif(results):
    content = json.loads(render("sarif", results))
    assert content["version"] == "2.1.0"
    (run,) = content["runs"]
    return run


def of_model(run, name):
    return [entry for entry in run["results"] if entry["properties"]["model"] == name]


def test_sarif_has_what_code_scanning_asks_for(sarif):
    """The properties that GitHub's documentation marks as required."""
    driver = sarif["tool"]["driver"]
    assert driver["name"] == "ngf-hub"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
        assert "security" in rule["properties"]["tags"]
        assert re.fullmatch(r"[A-Za-z]+", rule["name"])
    for entry in sarif["results"]:
        assert ids[entry["ruleIndex"]] == entry["ruleId"]
        assert entry["level"] in ("error", "warning", "note")
        assert entry["message"]["text"]
        (location,) = entry["locations"]
        assert location["physicalLocation"]["region"]["startLine"] == 1
        assert entry["partialFingerprints"]["primaryLocationLineHash"]


def test_sarif_locations_are_relative(sarif):
    """A URL, or anything with a scheme, makes GitHub refuse the whole file."""
    uris = [
        entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for entry in [*sarif["results"], *sarif["invocations"][0]["toolExecutionNotifications"]]
    ]
    for uri in uris:
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc) == ("", "")
        assert re.fullmatch(r"[A-Za-z0-9._~%/-]+", uri)
        assert not uri.startswith("/")
        assert ".." not in unquote(uri).split("/")
    assert "huggingface.co/acme/resnet-cifar/model.safetensors" in uris


def test_sarif_levels(sarif):
    levels = {
        entry["ruleId"].removeprefix("ngf-hub/"): entry["level"]
        for entry in of_model(sarif, "acme/resnet-cifar")
    }
    assert levels == {"patch": "error", "sharpness": "note"}
    assert of_model(sarif, "acme/clean") == []
    (evil,) = of_model(sarif, "acme/evil")
    assert (evil["ruleId"], evil["level"]) == ("ngf-hub/files", "error")
    (unclear,) = of_model(sarif, "acme/unclear")
    assert (unclear["ruleId"], unclear["level"]) == ("ngf-hub/verdict", "note")


def test_each_dangerous_file_is_a_result_of_its_own():
    files = [
        {"file": "sub/a b.pkl", "reason": "it would call os.system", "severity": "dangerous"},
        {"file": "../../etc/x", "reason": "it would call eval", "severity": "dangerous"},
        {"file": "sub/a b.pkl", "reason": "it follows no rule", "severity": "dangerous"},
        {"file": "config.json", "reason": "it names code", "severity": "unusual"},
    ]
    finding = Finding(kind="files", status="flagged", summary="two", details={"files": files})
    report = made.unsafe(findings=[finding])
    found = json.loads(render("sarif", [Result(report)]))["runs"][0]["results"]
    uris = [entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for entry in found]
    assert uris == [
        "huggingface.co/acme/evil/sub/a%20b.pkl",
        "huggingface.co/acme/evil/etc/x",
    ]
    assert "it would call os.system; it follows no rule" in found[0]["message"]["text"]
    prints = {entry["partialFingerprints"]["primaryLocationLineHash"] for entry in found}
    assert len(prints) == 2
    texts = " ".join(Page(render("html", [Result(report)])).texts)
    assert "sub/a b.pkl (dangerous): it would call os.system" in texts


def test_a_flagged_finding_of_a_model_that_is_not_is_a_warning():
    report = made.clean(findings=made.findings())
    run = json.loads(render("sarif", [Result(report)]))["runs"][0]
    assert {entry["level"] for entry in run["results"]} == {"warning", "note"}


def test_a_verdict_without_a_flagged_finding_is_told():
    report = made.report(findings=made.clean().findings)
    (entry,) = json.loads(render("sarif", [Result(report)]))["runs"][0]["results"]
    assert (entry["ruleId"], entry["level"]) == ("ngf-hub/verdict", "error")


def test_sarif_failures_are_notifications(sarif):
    (invocation,) = sarif["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert "acme/missing" in notification["message"]["text"]
    ran = json.loads(render("sarif", [Result(made.clean())]))["runs"][0]["invocations"][0]
    assert ran["executionSuccessful"] is True


def test_an_alert_is_the_same_whatever_commit_was_scanned():
    def fingerprint(report):
        run = json.loads(render("sarif", [Result(report)]))["runs"][0]
        return [entry["partialFingerprints"] for entry in run["results"]]

    assert fingerprint(made.report()) == fingerprint(made.report(commit="d" * 40, p_value=0.002))
    assert fingerprint(made.report()) != fingerprint(made.report(name="acme/other"))


def test_sarif_of_a_folder_is_relative_to_where_the_scan_ran(tmp_path, monkeypatch):
    (tmp_path / "work" / "models" / "my net").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")

    def uri(name):
        report = made.report(name=name, commit=None)
        entry = json.loads(render("sarif", [Result(report)]))["runs"][0]["results"][0]
        return entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]

    assert uri("models/my net") == "models/my%20net/model.safetensors"
    assert uri(str(tmp_path / "work" / "models")) == "models/model.safetensors"
    assert uri("../elsewhere/net") == "net/model.safetensors"


# The page


class Page(HTMLParser):
    """Tags with attributes, texts by tag, and every address of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.addresses, self.handlers = [], [], [], []
        self._inside = ""
        self.script = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
            if name.startswith("on"):
                self.handlers.append((tag, name))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.script += data
        elif self._inside != "style":
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def page_text(results):
    return render("html", results)


@pytest.fixture(scope="module")
def page(page_text):
    return Page(page_text)


def test_the_page_asks_for_nothing_from_elsewhere(page):
    assert page.addresses
    for address in page.addresses:
        hub = f"/acme/[a-z-]+/tree/{made.COMMIT}"
        assert re.match(rf"#model-\d+$|data:image/png;base64,|https?://[^/]+{hub}$", address)
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "form"} == set()


def test_only_the_script_of_the_page_itself_may_run(page):
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert scripts == [{}]
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_names_are_text(page, page_text):
    assert page.handlers == []
    assert "<script>alert" not in page_text
    assert "&lt;script&gt;alert" in page_text
    assert "\x1b" not in page_text
    assert "\u202e" not in page_text
    assert not any("onmouseover" in name for _, attributes in page.tags for name in attributes)


def test_the_page_shows_every_model(page, results):
    texts = " ".join(page.texts)
    for result in results[:-1]:
        assert result.report.name in texts
    assert "3 (cat)" in texts
    assert "99.9 %" in texts
    assert "A patch of 9 pixels sends 97 % of images to class 3." in texts
    assert "there is no such repository" in texts
    folded = [a for tag, a in page.tags if tag == "details" and a.get("class") == "model"]
    assert len(folded) == len(results)


def test_the_page_embeds_the_pictures(page, results):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 6  # mask, pattern and samples of two triggers
    assert all(picture["alt"] for picture in pictures)
    wanted = results[0].folder / "triggers" / "1-patch-to-3" / "mask.png"
    embedded = base64.b64decode(pictures[0]["src"].partition(",")[2])
    assert embedded == wanted.read_bytes()


def test_columns_sort_by_value_and_not_by_text(page):
    cells = [a["data-sort"] for tag, a in page.tags if tag == "td" and "data-sort" in a]
    verdicts = [int(value) for value in cells[0::5]]
    assert verdicts == [0, 0, 1, 2, 3, 4]  # the most urgent first
    assert [float(value) for value in cells[2::5]] == [0.9992, 0.9992, -1, 0.9992, -1, -1]


def test_a_single_model_needs_no_unfolding():
    page = Page(render("html", [Result(made.clean())]))
    assert "No class stands out." in " ".join(page.texts)
    assert not any(tag == "script" or a.get("class") == "model" for tag, a in page.tags)


def test_a_list_shows_no_pictures_of_models_in_which_nothing_was_found(tmp_path):
    alone = made.result(tmp_path / "clean", made.clean())
    assert "<img" in render("html", [alone])
    text = render("html", [alone, Result(made.report())])
    assert "<img" not in text
    assert "Recovered triggers" in text


def test_pictures_that_are_not_there_are_left_out(tmp_path):
    result = made.result(tmp_path / "result")
    for picture in (tmp_path / "result").rglob("mask.png"):
        picture.unlink()
    (tmp_path / "result/triggers/1-patch-to-3/mask.png").symlink_to("/etc/hostname")
    pictures = [a for t, a in Page(render("html", [result])).tags if t == "img"]
    assert len(pictures) == 4

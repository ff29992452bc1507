"""The card: what it claims, that the Hub takes it, and that no text from outside gets loose."""

from __future__ import annotations

import re

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st

from ngf_hub.card import HUB_LICENCES, render_card, write_card
from ngf_hub.errors import ReportError
from ngf_hub.report import SplitInfo

from .hub.card_schema import LICENSES
from .hub.cards import validate_card
from .report_samples import (
    DATA_COMMIT,
    SOURCE_COMMIT,
    data,
    measurement,
    method,
    model,
    output_folder,
    provenance,
    report,
    trigger,
)

NO_TRIGGER = {
    "trigger": None,
    "before": measurement(1700),
    "after": measurement(1690),
}
KINDS = {
    "removed": {},
    "present": {"after": measurement(1690, 1700, 90)},
    "unclear": {"after": measurement(1690, 180, 90)},
    "no effect": {"before": measurement(1700, 20, 1500)},
    "not measured": NO_TRIGGER,
    "recovered": {"trigger": trigger(origin="recovered")},
    "known attack": {"trigger": trigger(origin="known attack", target=None, target_name=None)},
    "evaluate": {"kind": "evaluate", "after": None, "method": None},
    "backdoored": {"kind": "evaluate", "after": None, "method": None, "backdoored": True},
    "local": {
        "model": model(name="/home/somebody/secret/net", commit=None, licence=None),
        "data": data(name="/home/somebody/secret/images", revision=None, config=None),
    },
    "module": {"model": model(name="Net", commit=None, family="module", files={}, head=[])},
    "in memory": {
        "data": data(name="given in memory", revision=None, splits=[]),
        "provenance": provenance(command=[]),
    },
    "many classes": {
        "before": measurement(1700, 1800, 0, classes=1000),
        "after": measurement(1700, 0, 1500, classes=1000),
    },
}


def results(card: ModelCard) -> dict[str, object]:
    return {result.metric_type: result for result in card.data.eval_results}


@pytest.mark.parametrize("kind", KINDS)
def test_the_hub_takes_the_card_and_it_reads_back_the_same(kind, tmp_path):
    content = str(render_card(report(**KINDS[kind]), tmp_path))
    assert validate_card(content, "model") == ([], [])
    again = ModelCard(content)
    assert str(again) == content
    name, parsed = model_index_to_eval_results(again.data.to_dict()["model-index"])
    assert parsed == again.data.eval_results
    assert eval_results_to_model_index(name, parsed) == again.data.to_dict()["model-index"]
    # Nothing of the template is left over, no paragraph is torn, every table row is whole.
    assert not re.search(r"\{[{%]|[%}]\}|\bNone\b|\n{3}", again.text)
    for table in re.findall(r"(?:^\|.*\n)+", again.text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table


def test_results_of_this_model_and_of_the_one_before_are_told_apart():
    found = results(render_card(report()))
    assert found["accuracy"].metric_value == 1690 / 2000
    assert found["accuracy_before_purification"].metric_value == 1698 / 2000
    assert found["attack_success_rate"].metric_value == 49 / 1800
    assert found["attack_success_rate_before_purification"].metric_value == 1.0
    assert found["recovered_accuracy"].metric_value == 1512 / 1800
    assert "before" in found["recovered_accuracy_before_purification"].metric_name
    asr = found["attack_success_rate"]
    assert asr.metric_args["n"] == 1800
    assert asr.metric_args["interval_95_wilson"] == pytest.approx([0.0207, 0.0358], abs=1e-4)
    assert asr.metric_args["trigger_origin"] == "given"
    assert (asr.dataset_type, asr.dataset_revision) == ("uoft-cs/cifar10", DATA_COMMIT)
    assert (asr.dataset_config, asr.dataset_split) == ("plain_text", "test")


def test_an_evaluation_has_only_results_of_this_model():
    found = results(render_card(report(**KINDS["evaluate"])))
    assert set(found) == {"accuracy", "attack_success_rate", "recovered_accuracy"}
    assert found["accuracy"].metric_value == 1698 / 2000


def test_without_a_trigger_nothing_is_said_of_asr():
    card = render_card(report(**NO_TRIGGER))
    assert set(results(card)) == {"accuracy", "accuracy_before_purification"}
    assert "attack success rate was not measured" in card.text
    assert "nothing is claimed about a backdoor" in card.text
    assert re.search(r"\| Attack success rate \(ASR\) \| not measured", card.text)


def test_metadata():
    metadata = render_card(report()).data.to_dict()
    assert metadata["base_model"] == "acme/resnet-cifar"
    assert metadata["base_model_relation"] == "finetune"
    assert metadata["library_name"] == "timm"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["datasets"] == ["uoft-cs/cifar10"]
    assert metadata["license"] == "apache-2.0"
    assert {"backdoor-purification", "ngf-hub", "timm", "ngf"} <= set(metadata["tags"])
    assert "backdoored" not in metadata["tags"]


def test_local_sources_name_no_repository_and_no_folder():
    card = render_card(report(**KINDS["local"]))
    metadata = card.data.to_dict()
    assert not {"base_model", "datasets", "license"} & set(metadata)
    assert "somebody" not in str(card)
    assert "images" in card.text


@pytest.mark.parametrize(
    ("stated", "licence", "name"),
    [
        ("MIT", "mit", None),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", None),
        ("Acme Research Licence 2", "other", "acme-research-licence-2"),
        ("x\n---\nevil: true", "other", "x-evil-true"),
        (None, None, None),
    ],
)
def test_licence_is_taken_over(stated, licence, name):
    metadata = render_card(report(model=model(licence=stated))).data.to_dict()
    assert metadata.get("license") == licence
    assert metadata.get("license_name") == name
    assert "evil" not in metadata


def test_licences_are_those_of_the_hub():
    assert HUB_LICENCES <= LICENSES


@pytest.mark.parametrize(
    ("kind", "said", "alert"),
    [
        ("present", "The backdoor is still there.", "CAUTION"),
        ("unclear", "not settled", "WARNING"),
        ("removed", "The trigger no longer works.", "NOTE"),
        ("recovered", "this is an estimate", "NOTE"),
        ("no effect", "no effect", "NOTE"),
        ("not measured", "was not measured", "WARNING"),
    ],
)
def test_the_verdict_comes_first(kind, said, alert):
    text = render_card(report(**KINDS[kind])).text
    heading, rest = text.strip().split("\n", 1)
    assert heading.startswith("# resnet-cifar")
    verdict = rest.strip().split("\n\n")[0]
    assert verdict.startswith(f"> [!{alert}]")
    assert said in verdict


def test_a_backdoor_that_stays_is_tagged_and_a_research_model_says_so():
    assert "backdoored" in render_card(report(**KINDS["present"])).data.tags
    card = render_card(report(backdoored=True))
    assert "backdoored" in card.data.tags
    assert "put there on purpose" in card.text


def test_a_costly_purification_says_so():
    costly = render_card(report(after=measurement(1500, 0, 1400))).text
    assert "Clean accuracy fell by 9.9 percentage points" in costly
    assert "Clean accuracy fell" not in render_card(report()).text


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("given", "a trigger that the user gave"),
        ("known attack", "the trigger of a known attack"),
        ("recovered", "**This is an estimate.** No true trigger was known."),
    ],
)
def test_the_origin_of_the_trigger_is_told(origin, said):
    text = render_card(report(trigger=trigger(origin=origin))).text
    assert said in text
    assert ("estimate" in text) == (origin == "recovered")


def test_the_text_has_what_is_needed_to_check_it():
    text = render_card(report()).text
    for stated in (
        "84.5 % [82.8, 86.0], n = 2000",
        "2.7 % [2.1, 3.6], n = 1800",
        "100.0 % [99.8, 100.0], n = 1800",
        "`patch`",
        "3 (class 3)",
        "`fc`",
        "| `damping` | `0.001` |",
        SOURCE_COMMIT,
        DATA_COMMIT,
        "0123456789abcdef" * 4,
        "| Seed | 7 |",
        "ngf-hub purify acme/resnet-cifar --output 'out dir'",
        'pip install "ngf-hub==0.1.0"',
        "500 of train",
        "2000 of test",
        "by name",
        "Only the head",
        "@article{karim2023efficient",
    ):
        assert stated in text, stated


def test_only_a_tuned_head_brings_the_heads_limit():
    assert "Only the head" not in render_card(report(method=method(layers=["layer4.0"]))).text


def test_plots_are_shown_if_they_are_there(tmp_path):
    assert "](" + "before_after.png)" not in render_card(report(), tmp_path).text
    for name in ("before_after.png", "trigger.png"):
        (tmp_path / name).touch()
    text = render_card(report(), tmp_path).text
    assert "](before_after.png)" in text
    assert "](trigger.png)" in text


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("timm", 'timm.create_model("hf-hub:me/mine", pretrained=True)'),
        ("transformers", 'AutoModelForImageClassification.from_pretrained("me/mine")'),
        ("module", 'hf_hub_download("me/mine", "model.safetensors")'),
    ],
)
def test_it_says_how_to_load_the_model(family, said):
    card = render_card(report(model=model(family=family)), repo_id="me/mine")
    assert said in card.text
    assert card.data.library_name == (None if family == "module" else family)
    for block in re.findall(r"```python\n(.*?)```", card.text, re.DOTALL):
        compile(block, "card", "exec")


def test_many_classes_are_cut_to_those_that_changed_most():
    before, after = measurement(1700, classes=50), measurement(1700, classes=50)
    after.per_class[37].accuracy.count = 10
    text = render_card(report(trigger=None, before=before, after=after)).text
    rows = re.findall(r"^\| (\d+) class", text, re.MULTILINE)
    assert len(rows) == 20
    assert rows[0] == "37"


EVIL = "\x1b[31m<script>alert(1)</script>|`x`[a](http://e.vil)\n---\nlicense: evil\n# forged\u202e"


def hostile_report(evil: str):
    return report(
        model=model(
            name=evil,
            commit=evil,
            architecture=evil,
            licence=evil,
            notes=[evil],
            class_names=[evil] * 10,
            files={evil: evil},
        ),
        data=data(
            name=evil,
            revision=evil,
            config=evil,
            licence=evil,
            class_matching=evil,
            image_column=evil,
            label_column=evil,
            notes=[evil],
            splits=[SplitInfo(split=evil, n=5, use="judge")],
        ),
        trigger=trigger(family=evil, target_name=evil, parameters={evil: evil, "x": [evil]}),
        method=method(name=evil, layers=[evil], options={evil: evil}, citation=evil),
        provenance=provenance(
            tool_version=evil, versions={evil: evil}, command=[evil], created=evil
        ),
        warnings=[evil],
    )


def without_code(text: str) -> str:
    """The text without code blocks and spans, inside which Markdown means nothing."""
    text = re.sub(r"^(```+)[a-z]*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<!\\)`[^`\n]*`", "", text)


def check_harmless(card: ModelCard) -> None:
    content = str(card)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", content)
    assert validate_card(content, "model") == ([], [])
    text = without_code(card.text)
    assert set(re.findall(r"</?([a-zA-Z]+)", text)) <= {"details", "summary"}
    links = re.findall(r"(?<!\\)\]\(([^)]*)\)", text)
    assert all(link.startswith("https://huggingface.co/") or "/" not in link for link in links)
    headings = re.findall(r"^#+ .*", text, re.MULTILINE)
    assert len([heading for heading in headings if heading.startswith("# ")]) == 1
    known = {
        "Results", "How the attack success rate was measured", "How to load it",
        "What was changed", "Data", "Notes", "Provenance", "To repeat it", "Limits", "Citation",
    }  # fmt: skip
    assert {heading.lstrip("# ") for heading in headings[1:]} <= known


def test_hostile_names_stay_text():
    card = render_card(hostile_report(EVIL))
    check_harmless(card)
    assert card.data.to_dict().get("license") == "other"
    assert "base_model" not in card.data.to_dict()


@settings(max_examples=40, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("`|<>[]()\\\n-#*_&:\x1b")), max_size=60))
def test_any_name_gives_a_valid_harmless_card(name):
    check_harmless(render_card(hostile_report(name)))


def test_tokens_do_not_reach_the_card(monkeypatch):
    fake, own = "hf_" + "A1b2" * 8, "plain-secret-of-mine"
    monkeypatch.setenv("HF_TOKEN", own)
    for command in (["ngf-hub", "--token", fake, own], []):
        origin = provenance(command=command, arguments={"token": fake, "t": own})
        options = method(options={"token": fake, "also": own})
        content = str(render_card(report(provenance=origin, method=options)))
        assert fake not in content
        assert own not in content


def test_write_card_replaces_the_readme_from_the_report(tmp_path):
    folder = output_folder(tmp_path / "out")
    first = (folder / "README.md").read_text()
    (folder / "README.md").write_text("old")
    assert write_card(folder) == folder / "README.md"
    assert (folder / "README.md").read_text() == first
    assert "](before_after.png)" in first
    assert not list(folder.glob("*.part"))
    with pytest.raises(ReportError):
        write_card(tmp_path)


def test_what_a_figure_says_is_the_reports(tmp_path):
    """Another report, another card: no figure is kept anywhere else."""
    content = report(after=measurement(1234, 567, 890))
    text = render_card(content).text
    for rate in (content.after.accuracy, content.after.attack_success):
        assert rate.percent() in text
    assert report().after.accuracy.percent() not in text

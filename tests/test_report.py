"""The report: its rates, its file, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ngf_hub.errors import ReportError
from ngf_hub.outcome import read_outcome
from ngf_hub.report import REPORT_FILE, MethodInfo, Rate, Report, wilson_interval

from .report_samples import measurement, model, provenance, report, trigger


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_bounds_solve_its_equation(pair):
    """At each bound p the score |k/n - p| is z standard errors at p (Wilson 1927)."""
    count, n = pair
    z = 1.959963984540054
    low, high = wilson_interval(count, n)
    assert 0 <= low <= count / n <= high <= 1
    for bound in (low, high):
        gap, error = abs(count / n - bound), (bound * (1 - bound) / n) ** 0.5
        assert gap == pytest.approx(z * error, abs=1e-9)


def test_wilson_agrees_with_published_values():
    # Newcombe (1998), table I, method 3.
    for (count, n), interval in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson_interval(count, n) == pytest.approx(interval, abs=5e-5)


def test_rate_of_nothing_is_not_measured():
    rate = Rate(count=0, n=0)
    assert rate.value is None
    assert rate.interval == (0.0, 1.0)
    assert rate.percent() == "not measured, n = 0"


def test_written_and_read_again_it_is_the_same(tmp_path):
    original = report(warnings=["Zürich \u2028 \x1b[31m"], backdoored=True)
    original.write(tmp_path)
    assert Report.read(tmp_path) == original
    assert [p.name for p in tmp_path.iterdir()] == [REPORT_FILE]


def test_file_states_values_and_intervals_for_other_readers(tmp_path):
    report().write(tmp_path)
    after = json.loads((tmp_path / REPORT_FILE).read_text())["after"]
    assert after["attack_success"]["value"] == pytest.approx(49 / 1800)
    assert after["attack_success"]["interval"] == pytest.approx(wilson_interval(49, 1800))


def test_tokens_do_not_reach_the_file(tmp_path, monkeypatch):
    fake, own = "hf_" + "A1b2" * 8, "plain-secret-of-mine"
    monkeypatch.setenv("HF_TOKEN", own)
    origin = provenance(
        command=["ngf-hub", "purify", "m", "--token", fake],
        arguments={"token": own, "nested": [{"url": f"https://u:{fake}@host"}]},
    )
    report(provenance=origin).write(tmp_path)
    text = (tmp_path / REPORT_FILE).read_text()
    assert fake not in text
    assert own not in text
    assert Report.read(tmp_path).provenance.command[:3] == ["ngf-hub", "purify", "m"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"tool": "other"}',
        '{"schema_version": "x"}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_broken_reports_are_one_line(tmp_path, text):
    (tmp_path / REPORT_FILE).write_text(text)
    with pytest.raises(ReportError) as caught:
        Report.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_report_and_later_schema(tmp_path):
    with pytest.raises(ReportError, match="No readable"):
        Report.read(tmp_path)
    report().write(tmp_path)
    content = json.loads((tmp_path / REPORT_FILE).read_text())
    content["schema_version"] = 99
    (tmp_path / REPORT_FILE).write_text(json.dumps(content))
    with pytest.raises(ReportError, match="newer"):
        Report.read(tmp_path)


def test_not_a_number_is_refused():
    with pytest.raises(ValidationError):
        MethodInfo(name="ngf", layers=[], steps=1, change=float("nan"))


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        (1800, 49, "removed"),
        (1800, 1800, "present"),
        (1800, 180, "unclear"),  # 10.0 % of 1,800: the interval holds the limit
        (1800, 150, "removed"),  # 8.3 % [7.1, 9.7]
        (1800, 215, "present"),  # 11.9 % [10.5, 13.5]
        (20, 15, "no effect"),
        (None, None, "not measured"),
    ],
)
def test_outcome_is_read_off_the_intervals(before, after, state):
    content = report(before=measurement(1700, before), after=measurement(1700, after))
    outcome = read_outcome(content)
    assert outcome.state == state
    assert outcome.backdoored == (state == "present")


def test_few_classes_allow_what_chance_alone_does():
    pair = {"before": measurement(1700, 1800), "after": measurement(1700, 500)}
    assert read_outcome(report(**pair)).state == "present"
    assert read_outcome(report(model=model(num_classes=2), **pair)).state == "removed"


@pytest.mark.parametrize(("after", "costly"), [(1660, False), (1659, True), (1800, False)])
def test_more_than_two_points_of_accuracy_are_costly(after, costly):
    content = report(before=measurement(1700, 1800), after=measurement(after, 0))
    assert read_outcome(content).costly is costly


def test_recovered_triggers_make_estimates():
    assert read_outcome(report(trigger=trigger(origin="recovered"))).estimate
    assert not read_outcome(report()).estimate

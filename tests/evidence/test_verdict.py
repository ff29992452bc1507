"""From statistics to a verdict."""

import math

import numpy as np
import pytest

from ngf_hub.errors import ReportError
from ngf_hub.evidence.calibration import Calibration, CleanModel
from ngf_hub.evidence.verdict import LEAST_P_VALUE, NEAR, SIGNIFICANCE, combine, judge
from ngf_hub.scan_report import Finding

KINDS = ("patch", "margin")


def simulated(models=30, kinds=KINDS, seed=0, correlation=0.0):
    """Clean models with normal statistics."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(models, 1))
    own = generator.normal(size=(models, len(kinds)))
    values = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    return Calibration(
        models=[
            CleanModel(
                model=f"clean-{index}",
                architecture="resnet",
                classes=10,
                with_images={k: [float(v)] for k, v in zip(kinds, row, strict=True)},
            )
            for index, row in enumerate(values)
        ]
    )


def finding(kind="patch", statistic=0.0, target=None, **fields):
    return Finding(kind=kind, statistic=statistic, target=target, summary="A line.", **fields)


def test_one_strong_finding_decides():
    judgement = judge([finding("patch", 9.0, 3), finding("margin", 0.0, 5)], simulated())
    assert judgement.verdict == "backdoored"
    assert judgement.target == 3
    assert judgement.p_value <= SIGNIFICANCE
    assert judgement.confidence == pytest.approx(1 - judgement.p_value)
    assert [part.status for part in judgement.findings] == ["flagged", "clear"]
    assert judgement.findings[0].p_value < judgement.findings[1].p_value
    assert judgement.summary == "patch points to class 3."


def test_agreement_is_said():
    both = judge([finding("patch", 9.0, 3), finding("margin", 12.0, 3)], simulated())
    assert both.target == 3
    assert both.summary == "margin and patch point to class 3."
    apart = judge([finding("patch", 9.0, 3), finding("margin", 12.0, 7)], simulated())
    assert apart.target == 7
    assert apart.summary == "margin points to class 7; patch to class 3."


def test_ordinary_statistics_are_cleared():
    judgement = judge([finding("patch", 0.3, 3), finding("margin", 0.0, 5)], simulated())
    assert judgement.verdict == "nothing found"
    assert judgement.target is None
    assert judgement.confidence is None
    assert judgement.p_value > 0.3
    assert {part.status for part in judgement.findings} == {"clear"}


def test_what_comes_near_is_said():
    near = judge([finding("patch", 2.2, 3), finding("margin", 0.0, 5)], simulated())
    assert SIGNIFICANCE < near.p_value <= NEAR
    assert near.verdict == "nothing found"
    assert near.target is None
    share = f"{100 * near.p_value:.1f} %"
    assert near.summary.endswith(
        f"in patch and margin. Nearest comes patch, to class 3: {share} of clean models look as "
        "suspicious."
    )
    far = judge([finding("patch", 1.0, 3), finding("margin", 0.0, 5)], simulated())
    assert "Nearest" not in far.summary


def test_weak_findings_are_judged_but_do_not_decide():
    calibration = simulated(kinds=("patch", "sharpness"))
    weak = finding("sharpness", 30.0, weak=True)
    judgement = judge([finding("patch", 0.0), weak], calibration)
    assert judgement.findings[1].status == "flagged"
    assert judgement.verdict == "nothing found"
    assert judgement.p_value == judge([finding("patch", 0.0)], calibration).p_value
    assert judge([weak], calibration).verdict == "inconclusive"


def test_files_are_passed_through():
    files = Finding(kind="files", status="flagged", statistic=99.0, p_value=0.5, summary="Bad.")
    judgement = judge([files, finding("patch", 0.0)], simulated(kinds=("patch", "files")))
    assert judgement.findings[0] == files
    assert judgement.verdict == "nothing found"
    assert judge([files], simulated()).verdict == "inconclusive"


@pytest.mark.parametrize("statistic", [None, math.nan, math.inf, -math.inf])
def test_what_has_no_statistic_is_not_judged(statistic):
    # A finding refuses what is not finite, unless it gets in unchecked.
    broken = finding("patch", 0.0, 3).model_copy(update={"statistic": statistic})
    judgement = judge([broken, finding("margin", 9.0, 4)], simulated())
    first = judgement.findings[0]
    assert (first.status, first.p_value, first.statistic) == ("not judged", None, None)
    assert judgement.target == 4
    # It is not counted as a test either.
    assert judgement.p_value == judge([finding("margin", 9.0, 4)], simulated()).p_value
    assert judge([broken], simulated()).verdict == "inconclusive"


def test_kind_without_clean_models_is_not_judged():
    for calibration in (Calibration(), simulated(models=3), simulated(kinds=("margin",))):
        judgement = judge([finding("patch", 50.0, 3)], calibration)
        assert judgement.verdict == "inconclusive"
        assert judgement.p_value is None
        assert judgement.findings[0].statistic == 50.0
        assert "no clean models were measured" in judgement.findings[0].summary


def test_no_findings_are_inconclusive():
    assert judge([], simulated()).verdict == "inconclusive"


def test_with_and_without_images_are_calibrated_apart():
    calibration = simulated(kinds=("margin",))
    assert judge([finding("margin", 9.0)], calibration, with_images=False).p_value is None
    moved = Calibration(
        models=[
            entry.model_copy(
                update={"without_images": {"margin": [entry.with_images["margin"][0] + 9]}}
            )
            for entry in calibration.models
        ]
    )
    assert judge([finding("margin", 9.0)], moved).verdict == "backdoored"
    assert judge([finding("margin", 9.0)], moved, with_images=False).verdict == "nothing found"


def test_far_more_classes_are_warned_about():
    calibration = simulated()
    assert not judge([finding("patch", 0.0)], calibration, classes=20).warnings
    warnings = judge([finding("patch", 0.0)], calibration, classes=1000).warnings
    assert len(warnings) == 1
    assert "1000" in warnings[0]


def test_more_suspicion_never_lowers_the_score():
    calibration = simulated()
    scores, p_values = [], []
    for statistic in np.linspace(-4, 40, 30):
        judgement = judge([finding("patch", statistic), finding("margin", 0.5)], calibration)
        scores.append(judgement.score)
        p_values.append(judgement.p_value)
    assert scores == sorted(scores)
    assert p_values == sorted(p_values, reverse=True)
    assert min(p_values) == LEAST_P_VALUE
    # What is beyond the least p-value is still ordered.
    assert scores[-1] > scores[-2] > -math.log10(LEAST_P_VALUE)


def test_findings_given_are_left_as_they_are():
    given = finding("patch", 9.0, 3)
    judge([given], simulated())
    assert (given.status, given.p_value) == ("not judged", None)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_leaving_one_out_flags_few_clean_models(correlation):
    flagged = total = 0
    for seed in range(15):
        calibration = simulated(seed=seed, correlation=correlation)
        for entry, judgement in calibration_left_out(calibration):
            assert judgement.p_value is not None, entry
            flagged += judgement.verdict == "backdoored"
            total += 1
    assert total == 450
    assert flagged / total <= 0.025


def calibration_left_out(calibration):
    for entry in calibration.models:
        findings = [finding(kind, values[0]) for kind, values in entry.with_images.items()]
        yield entry, judge(findings, calibration.without(entry.model))


def test_combination_is_that_of_the_smallest():
    assert combine([0.2]) == pytest.approx(0.2)
    assert combine([0.01, 0.5, 0.9]) == pytest.approx(1 - 0.99**3)
    assert combine([1e-20, 1.0]) == pytest.approx(2e-20)
    assert combine([1.0, 1.0]) == 1.0
    with pytest.raises(ValueError, match="no p-value"):
        combine([])


def test_calibration_is_written_and_read(tmp_path):
    calibration = simulated(models=9)
    path = tmp_path / "calibration.json"
    calibration.write(path)
    assert Calibration.read(path) == calibration
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"clean-' in line for line in lines) == 9  # a line each
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]


NO_NUMBER, NO_VALUES = '{"k": [NaN]}', '{"k": []}'
ENTRY = '{"model": "a", "architecture": "b", "classes": 2'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema_version": 99, "models": []}',
        '{"models": [{"model": "a", "architecture": "b", "classes": 0}]}',
        f'{{"models": [{ENTRY}, "with_images": {NO_NUMBER}}}]}}',
        f'{{"models": [{ENTRY}, "with_images": {NO_VALUES}}}]}}',
        f'{{"models": [{ENTRY}}}, {ENTRY}}}]}}',
    ],
)
def test_broken_calibration_is_refused(content, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match=r"calibration\.json is"):
        Calibration.read(path)


def test_missing_calibration_is_refused(tmp_path):
    with pytest.raises(ReportError, match="no calibration"):
        Calibration.read(tmp_path / "calibration.json")

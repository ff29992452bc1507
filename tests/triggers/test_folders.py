"""Triggers are read from one folder, from a folder of folders, and from what a scan wrote."""

import pytest

from ngf_hub.errors import ReportError, TriggerError
from ngf_hub.triggers import make_trigger
from ngf_hub.triggers.folders import load_triggers
from tests import scan_samples


def places(triggers):
    return [trigger.place for trigger in triggers]


def test_one_trigger(tmp_path):
    make_trigger("patch:position=1x2", 4).save(tmp_path)
    (trigger,) = load_triggers(tmp_path)
    assert (trigger.place, trigger.target) == ("1x2", 4)


def test_a_folder_of_triggers_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        make_trigger(f"patch:position={number}x0", 4).save(tmp_path / f"{number}-patch-to-4")
    (tmp_path / "pictures").mkdir()
    assert places(load_triggers(tmp_path)) == ["1x0", "2x0", "10x0"]


def test_what_a_scan_wrote_gives_those_of_the_class_it_suspects(tmp_path):
    for suspected, expected in ((3, [3, 3]), (5, [5]), (None, [3, 5, 3])):
        folder = tmp_path / str(suspected)
        scanned = scan_samples.scanned(scan_samples.report(target=suspected))
        other = scan_samples.scanned()
        scanned.triggers.insert(1, other.triggers[0])
        scanned.triggers[1].trigger.target = 5
        scanned.report.triggers.insert(1, other.report.triggers[0].model_copy(update={"target": 5}))
        scanned.samples.insert(1, None)
        scanned.save(folder)
        triggers = load_triggers(folder)
        assert [trigger.target for trigger in triggers] == expected
        assert {trigger.origin for trigger in triggers} == {"recovered"}
        # Not the best one once more.
        assert (folder / "trigger" / "trigger.json").exists()


def test_where_there_is_none_it_says_so(tmp_path):
    with pytest.raises(TriggerError, match="no folder"):
        load_triggers(tmp_path / "nowhere")
    with pytest.raises(TriggerError, match="holds no trigger folder"):
        load_triggers(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(TriggerError, match="holds no trigger folder") as error:
        load_triggers(tmp_path)
    assert "models/NAME" in error.value.hint
    scan_samples.clean().write(tmp_path)
    with pytest.raises(TriggerError, match="recovered no trigger"):
        load_triggers(tmp_path)
    (tmp_path / "scan.json").write_text("{")
    with pytest.raises(ReportError, match="no scan report"):
        load_triggers(tmp_path)

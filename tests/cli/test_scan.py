"""``ngf-hub scan`` on a real Hub: one model and many, formats, outputs, what is kept, bad input."""

import datetime
import json
import pickle
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ngf_hub.demo import untrained_classifier
from ngf_hub.triggers import load_folder

from .test_bad_input import Evil, image_folder

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
QUIET = ["--evidence", "quiet", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(local_hub, tmp_path_factory):
    """Models on the Hub and on the disk; the folder they lie in."""
    root = tmp_path_factory.mktemp("scan")
    good = root / "good"
    good.mkdir()
    untrained_classifier(NAMES, seed=0).save(good)
    card = "---\npipeline_tag: image-classification\n---\n"
    for name in ("one", "two"):
        local_hub.add_repo(f"painter/{name}", folder=good)
        local_hub.add_commit(f"painter/{name}", {"README.md": card})
    local_hub.add_repo("painter/words", files={"README.md": "---\npipeline_tag: fill-mask\n---\n"})
    evil = root / "evil"
    evil.mkdir()
    (evil / "config.json").write_text((good / "config.json").read_text())
    (evil / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    local_hub.add_repo("acme/evil", folder=evil)
    local_hub.flag_unsafe("acme/evil", "pytorch_model.bin")
    weights = load_file(good / "model.safetensors")
    refused = root / "refused"
    refused.mkdir()
    (refused / "config.json").write_text((good / "config.json").read_text())
    torch.save({**weights, "when": datetime.date(2020, 1, 1)}, refused / "pytorch_model.bin")
    nan = root / "nan"
    nan.mkdir()
    (nan / "config.json").write_text((good / "config.json").read_text())
    save_file({**weights, "fc.bias": weights["fc.bias"] * float("nan")}, nan / "model.safetensors")
    (root / "empty").mkdir()
    image_folder(root / "classes", NAMES)
    (root / "flat").mkdir()
    for index in range(5):
        Image.new("L", (20, 30), 40 * index).save(root / "flat" / f"{index}.png")
    (root / "list.txt").write_text(
        "# a list\n\npainter/one\npainter/missing  # not there\ngood\nacme/evil\n"
    )
    (root / "blank.txt").write_text("\n# nothing\n")
    (root / "binary.txt").write_bytes(b"\xff\x00\xfe")
    return root


@pytest.fixture(scope="module")
def environment(local_hub, tmp_path_factory):
    """Of a user with caches of their own."""
    home = tmp_path_factory.mktemp("home")
    return {**local_hub.env(home), "COLUMNS": "200", "NGF_HUB_CACHE": str(home / "kept")}


def run_all(lines, folder, env):
    """What each of some command lines gave, run in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.scan_driver"],
        input=json.dumps({"cwd": str(folder), "lines": lines}),
        env=env,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(made, environment):
    """What each command line gave, one after another in one process and with one cache."""
    data = ["-d", "classes", "--samples", "12", "--device", "cpu"]
    lines = {
        "one": ["scan", "painter/one", *data, "--output", "out", "--output", "one.html"],
        "one again": ["scan", "painter/one", *data, "--format", "json"],
        "rescan": ["scan", "painter/one", *data, "--json", "--rescan"],
        "no data": ["scan", "painter/one", *QUIET],
        "flat images": ["scan", "good", "-d", "flat", "--json", "--device", "cpu"],
        "folder": ["scan", "good", *QUIET, "--json"],
        "evil": ["scan", "acme/evil", *QUIET, "--output", "evil.sarif"],
        "inconclusive": ["scan", "good", "--evidence", "unfit", "--device", "cpu"],
        "refused": ["scan", "refused", *QUIET],
        "list": ["scan", "--from-file", "list.txt", *data, "--output", "many", "--output",
                 "many.sarif"],
        "list again": ["scan", "--from-file", "list.txt", *data, "--json"],
        "clean list": ["scan", "good", "painter/one", "painter/one", *QUIET],
        "author": ["scan", "--author", "painter", *QUIET, "--json"],
        "limit": ["scan", "--author", "painter", "--limit", "1", *QUIET, "--json"],
        "html": ["scan", "good", *QUIET, "--format", "html"],
        "evaluate": ["evaluate", "painter/one", "-d", "classes", "--judge-samples", "20",
                     "--trigger", "out/trigger", "--device", "cpu", "--json"],
        "unknown": ["scan", "painter/missing", *QUIET],
        "empty folder": ["scan", "empty", *QUIET],
        "NaN": ["scan", "nan", *QUIET],
        "no folder": ["scan", "./nowhere", *QUIET],
        "no model": ["scan"],
        "no list": ["scan", "--from-file", "nowhere.txt"],
        "blank list": ["scan", "--from-file", "blank.txt"],
        "binary list": ["scan", "--from-file", "binary.txt"],
        "no author": ["scan", "--author", "nobody"],
        "unknown evidence": ["scan", "good", "--evidence", "magic"],
        "unknown format": ["scan", "good", "--format", "xml"],
        "unknown engine": ["scan", "good", "--engine", "magic"],
        "a fleet of one": ["scan", "good", "--address", "auto"],
        "revision of many": ["scan", "good", "painter/one", "--revision", "main"],
        "unknown revision": ["scan", "painter/one", "--revision", "v9", *QUIET],
        "output of others": ["scan", "good", "--output", "classes"],
        "file of others": ["scan", "good", "--output", "good/config.json"],
        "the model itself": ["scan", "good", "--output", "good"],
        "unknown dataset": ["scan", "good", "-d", "./no-images"],
        "unknown split": ["scan", "good", "-d", "classes", "--split", "dev"],
        "empty dataset": ["scan", "good", "-d", "empty"],
    }  # fmt: skip
    return run_all(lines, made, environment)


def document(results, name):
    return json.loads(results[name]["out"])


def test_one_model(results, made):
    done = results["one"]
    assert done["code"] == 1, done["err"]
    for said in ("painter/one", "backdoored", "3 (three)", "99.9 %", "corner", "patch"):
        assert said in done["out"]
    assert "This will take at least about 60 min" in done["err"]
    assert "Traceback" not in done["err"]
    report = json.loads((made / "out" / "scan.json").read_text())
    assert report["name"] == "painter/one"
    assert len(report["commit"]) == 40
    assert report["data"]["splits"] == [{"split": "train", "n": 12, "use": "scan"}]
    assert {"scan.html", "scan.json", "trigger", "triggers"} == {
        path.name for path in (made / "out").iterdir()
    }
    assert load_folder(made / "out" / "trigger").target == 3
    assert "data:image/png;base64," in (made / "one.html").read_text()


def test_the_command_in_the_report_repeats_the_scan(made):
    report = json.loads((made / "out" / "scan.json").read_text())
    command = report["provenance"]["command"]
    assert command == [
        "ngf-hub", "scan", "painter/one", "--revision", report["commit"], "--dataset", "classes",
        "--split", "train", "--samples", "12", "--seed", "0",
    ]  # fmt: skip


def test_a_second_run_scans_nothing_again(results):
    again, anew = document(results, "one again"), document(results, "rescan")
    assert results["one again"]["code"] == results["rescan"]["code"] == 1
    assert "This will take" not in results["one again"]["err"]
    assert "This will take" in results["rescan"]["err"]

    def created(content):
        return content["scans"][0]["provenance"]["created"]

    assert created(anew) >= created(again)
    assert again["scans"][0]["findings"][1]["p_value"] == anew["scans"][0]["findings"][1]["p_value"]


def test_without_data(results):
    done = results["no data"]
    assert done["code"] == 0
    assert "nothing found" in done["out"]
    assert "no proof" in done["out"]


def test_images_need_no_labels(results):
    done = results["flat images"]
    assert done["code"] == 1, done["err"]
    (report,) = document(results, "flat images")["scans"]
    assert report["data"]["splits"][0]["n"] == 5
    assert any("300 images were asked for" in note for note in report["data"]["notes"])


def test_a_folder(results):
    assert results["folder"]["code"] == 0
    (report,) = document(results, "folder")["scans"]
    assert (report["name"], report["commit"], report["verdict"]) == ("good", None, "nothing found")
    assert report["provenance"]["command"][:3] == ["ngf-hub", "scan", "good"]


def test_unsafe_files(results, made):
    done = results["evil"]
    assert done["code"] == 1, done["err"]
    assert "unsafe files" in done["out"]
    assert "pytorch_model.bin (dangerous): " in done["out"]
    assert "The Hub's own scan: issues with pytorch_model.bin (unsafe)." in done["err"]
    run = json.loads((made / "evil.sarif").read_text())["runs"][0]
    assert [entry["ruleId"] for entry in run["results"]] == ["ngf-hub/files"]
    assert not (made / "pwned").exists()


def test_inconclusive_is_no_error(results):
    assert results["inconclusive"]["code"] == 0
    assert "inconclusive" in results["inconclusive"]["out"]
    assert "It has no convolution." in results["inconclusive"]["out"]


def test_weights_that_cannot_be_loaded_safely_are_no_pass(results):
    done = results["refused"]
    assert done["code"] == 2
    assert "inconclusive" in done["out"]
    (line,) = [line for line in done["err"].splitlines() if line.startswith("Error: ")]
    assert "refused: Nothing dangerous was found in the files, but the weights" in line
    assert "datetime.date" in line


def test_a_list_with_failures(results, made):
    done = results["list"]
    assert done["code"] == 2
    for said in ("painter/one", "good", "acme/evil", "painter/missing"):
        assert said in done["out"]
    assert "4 models: 2 backdoored, 1 unsafe files, 1 failed." in done["out"]
    errors = [line for line in done["err"].splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "painter/missing" in errors[0]
    assert done["err"].rstrip().splitlines()[-1] == errors[0]
    assert "[3/4] good: backdoored" in done["err"]
    inside = {path.name for path in (made / "many" / "models").iterdir()}
    assert inside == {"painter--one", "good", "acme--evil"}
    assert load_folder(made / "many" / "models" / "good" / "trigger").target == 3
    run = json.loads((made / "many.sarif").read_text())["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is False


def test_only_what_is_new_is_scanned(results):
    # painter/one was scanned with the same images before the list was.
    assert "4 models: 2 to scan, 1 scanned before, 1 not found" in results["list"]["err"]
    assert "4 models: 0 to scan, 3 scanned before, 1 not found" in results["list again"]["err"]
    assert results["list again"]["code"] == 2
    content = document(results, "list again")
    assert content["summary"] == {"models": 4, "backdoored": 2, "unsafe files": 1, "failed": 1}
    assert [scan["name"] for scan in content["scans"]] == [
        "painter/one", "painter/missing", "good", "acme/evil",
    ]  # fmt: skip


def test_each_model_is_scanned_once_and_nothing_flagged_is_0(results):
    assert results["clean list"]["code"] == 0, results["clean list"]["err"]
    assert "2 models: 2 nothing found." in results["clean list"]["out"]


def test_the_classifiers_of_an_author(results):
    names = [scan["name"] for scan in document(results, "author")["scans"]]
    assert sorted(names) == ["painter/one", "painter/two"]
    assert len(document(results, "limit")["scans"]) == 1
    assert results["author"]["code"] == 0


def test_html_on_standard_output(results):
    assert results["html"]["out"].startswith("<!doctype html>")
    assert results["html"]["out"].rstrip().endswith("</html>")


def test_the_recovered_trigger_is_taken_by_evaluate(results):
    assert results["evaluate"]["code"] == 0, results["evaluate"]["err"]
    trigger = document(results, "evaluate")["trigger"]
    assert (trigger["origin"], trigger["target"]) == ("recovered", 3)


REFUSED = {
    "unknown": "no such repository",
    "empty folder": "empty folder",
    "NaN": "NaN",
    "no folder": "nowhere",
    "no model": "--from-file",
    "no list": "nowhere.txt",
    "blank list": "names no model",
    "binary list": "no text",
    "no author": "'nobody' has no image classifiers",
    "unknown evidence": "magic",
    "unknown format": "xml",
    "unknown engine": "Known: local, ray.",
    "a fleet of one": "Add --engine ray.",
    "revision of many": "--revision",
    "unknown revision": "no such revision",
    "output of others": "not empty",
    "file of others": "no scan wrote it",
    "the model itself": "is the model that is read",
    "unknown dataset": "no-images",
    "unknown split": "dev",
    "empty dataset": "empty",
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_says_what_is_wrong(name, results):
    done = results[name]
    assert done["code"] == 2, done["err"]
    assert done["out"] == ""
    errors = [line for line in done["err"].splitlines() if "Error: " in line]
    assert len(errors) == 1, done["err"]
    assert REFUSED[name] in errors[0]
    assert "Traceback" not in done["err"]
    assert "Unexpected" not in done["err"], "an error nobody thought of"


def test_nothing_was_written_that_was_not_asked_for(results, made):
    names = {path.name for path in made.iterdir()}
    assert names == {
        "good", "evil", "refused", "nan", "empty", "classes", "flat", "list.txt", "blank.txt",
        "binary.txt", "out", "one.html", "evil.sarif", "many", "many.sarif",
    }  # fmt: skip
    assert {path.name for path in (made / "good").iterdir()} == {
        "config.json", "model.safetensors",
    }  # fmt: skip


def test_the_help_does_not_wait_for_pytorch():
    code = (
        "import sys; from ngf_hub.cli import main\n"
        "try: main(['scan', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'timm', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "--from-file" in done.stdout


def test_offline_the_cache_serves(results, made, environment):
    """A model that was scanned once is found again when the Hub is not there."""
    words = ["scan", "painter/one", *QUIET, "--json"]
    offline = run_all({"it": words}, made, {**environment, "HF_HUB_OFFLINE": "1"})["it"]
    assert offline["code"] == 0, offline["err"]
    (report,) = json.loads(offline["out"])["scans"]
    (before,) = [s for s in document(results, "author")["scans"] if s["name"] == "painter/one"]
    assert report == before

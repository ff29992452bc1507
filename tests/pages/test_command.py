"""``ngf-hub report``: one page from any output folder, and one line where that cannot be."""

import json
import os
import subprocess
import sys

import pytest

from tests.pages import samples


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each command line gave, and the folder it ran in."""
    root = tmp_path_factory.mktemp("report")
    samples.write(root / "made", samples.evaluation())
    (root / "mine.html").write_text("mine", encoding="utf-8")
    (root / "empty").mkdir()
    lines = {
        "json": ["report", "made", "--html", "pages/made.html", "--json"],
        "again": ["report", "made", "--html", "pages/made.html"],
        "default": ["report", "made"],
        "foreign": ["report", "made", "--html", "mine.html"],
        "empty": ["report", "empty"],
        "missing": ["report", "nowhere\x1b[31m"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.driver"],
        input=json.dumps({"cwd": str(root), "lines": lines}),
        env={**os.environ, "COLUMNS": "120"},
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout), root


def test_the_page_is_written(results):
    done, root = results
    assert json.loads(done["json"]["out"]) == {"page": "pages/made.html"}
    assert done["again"]["code"] == 0
    assert "Written to pages/made.html" in done["again"]["err"]
    assert "<h1>acme/resnet-cifar</h1>" in (root / "pages/made.html").read_text(encoding="utf-8")
    assert done["default"]["code"] == 0
    assert (root / "report.html").is_file()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("foreign", "mine.html is there and is no page of ngf-hub."),
        ("empty", "There is no report in empty."),
        ("missing", "There is no folder nowhere."),
    ],
)
def test_what_cannot_be_is_one_line(results, name, said):
    done, root = results
    assert done[name]["code"] == 2
    assert said in done[name]["err"]
    assert len(done[name]["err"].splitlines()) == 1
    assert "\x1b" not in done[name]["err"]
    assert (root / "mine.html").read_text(encoding="utf-8") == "mine"

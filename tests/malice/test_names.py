"""Terminal escapes, bidirectional marks, HTML, Markdown and YAML in names, wherever they show."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from ngf_hub.card import render_card
from ngf_hub.data import load_images
from ngf_hub.licences import licence_of
from tests import report_samples
from tests.data.pictures import write_class_folders, write_splits

from .bounded import attempt, command

EVIL = (
    "\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.\u2066<script>alert(1)</script>\n---\n"
    "license: x\n---\n# Safe"
)
MARKS = ["\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\r"]
NAMES = [EVIL, "*dog*[x](javascript:1)|", "!!python/object/apply:os.system ['x']"]


def shows_nothing(text):
    """No character in what is printed or written steers a terminal or turns a line round."""
    bad = {
        c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }
    assert not bad, bad


@pytest.fixture
def model(copy):
    folder = copy("timm")
    config = json.loads((folder / "config.json").read_text())
    config["label_names"] = NAMES
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_every_command_that_shows_names(model, copy, harmless, trigger, tmp_path):
    images = write_class_folders(
        tmp_path / "images", range(12), ["cat", "\x1b[2Jdog", "fr\u202eog"]
    )
    (nan := copy("timm"))
    tensors = load_file(nan / "model.safetensors")
    tensors["\x1b[31mfc\u202e\n"] = tensors.pop("fc.bias")
    save_file(tensors, nan / "model.safetensors", metadata={"format": "pt"})
    tuning = [
        "--samples",
        6,
        "--judge-samples",
        6,
        "--method",
        "ngf",
        "--device",
        "cpu",
        "--classes-by-index",
    ]
    lines = {
        "layers": ["layers", model],
        "layers in JSON": ["layers", model, "--json"],
        "evaluate": ["evaluate", model, "-d", images, "--classes-by-index", "--device", "cpu"],
        "evaluate by name": ["evaluate", model, "-d", images, "--device", "cpu"],
        "purify": [
            "purify",
            model,
            "-d",
            images,
            "--output",
            tmp_path / "out",
            *tuning,
            "-t",
            trigger,
            "--json",
        ],
        "a tensor's name": ["layers", nan],
        "a class": ["evaluate", model, "-d", images, "-t", "badnets", "--target", EVIL],
        "a model": ["layers", EVIL],
        "a dataset": ["evaluate", model, "-d", EVIL],
        "a trigger": ["evaluate", model, "-d", images, "-t", EVIL, "--target", 1],
        "an option": ["purify", model, "-d", images, "-o", EVIL, "--output", tmp_path / "o"],
        "a command": [EVIL],
        "scan": ["scan", model, "-e", "patch", "--device", "cpu"],
        "scan in JSON": ["scan", model, "-e", "patch", "--device", "cpu", "--json"],
    }

    def run_all():
        return {name: command(*words) for name, words in lines.items()}

    results = attempt(run_all, tmp_path, seconds=90).done(seconds=90)
    for name, result in results.items():
        shows_nothing(result["out"])
        shows_nothing(result["err"])
        assert result["code"] in (0, 2), (name, result["err"])
        assert "Error: Unexpected" not in result["err"], (name, result["err"])
        if result["code"] == 2:
            assert result["err"].count("Error: ") == 1, name
    assert results["purify"]["code"] == 0, results["purify"]["err"]
    for name in ("report.json", "README.md"):
        shows_nothing((tmp_path / "out" / name).read_text())
    assert json.loads((tmp_path / "out" / "report.json").read_text())["model"]["class_names"]
    check_card((tmp_path / "out" / "README.md").read_text())


def check_card(text):
    """A card whose front matter is one block of plain YAML, and whose text holds no HTML."""
    card = ModelCard(text)
    assert "<script" not in card.text
    assert not re.search(r"(?<!\\)\]\(javascript:", card.text)
    block = text.split("\n---\n")[0].removeprefix("---\n")
    data = yaml.safe_load(block)
    assert data["tags"][:2] == ["image-classification", "ngf-hub"]
    assert data.get("license") in (None, "other", "apache-2.0")
    assert not [line for line in card.text.splitlines() if line.strip() == "---"]
    assert not [line for line in card.text.splitlines() if line.startswith("# Safe")]


@pytest.mark.parametrize(
    "name", [*NAMES, "---", "a: &a [*a, *a]", "- - -", "'", '"', "#", "{{ 7 * 7 }}"]
)
def test_cards(name):
    report = report_samples.report(
        model=report_samples.model(
            name=name,
            commit=None,
            class_names=[name] * 10,
            licence=name,
            architecture=name,
            notes=[name],
            files={name: name},
        ),
        data=report_samples.data(name=name, notes=[name], config=name, revision=None),
        trigger=report_samples.trigger(family=name, target_name=name, parameters={name: name}),
        method=report_samples.method(name=name, layers=[name], citation=name, options={name: name}),
        warnings=[name],
    )
    text = str(render_card(report))
    shows_nothing(text)
    check_card(text)
    assert "{{ 7" in text or "{{" not in name


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(12)
)
CARDS = {
    "laughs": LAUGHS + "license: *a12\n",
    "laughs in configs": LAUGHS + "configs:\n- config_name: default\n  data_files: *a12\n",
    "laughs in features": LAUGHS + "dataset_info:\n  features: *a12\n",
    "itself": "license: &a [*a]\nconfigs: *a\n",
    "python": "license: !!python/object/apply:os.system ['touch {mark}']\n",
    "a name of python": "license: !!python/name:os.system\n",
    "deep": "license: " + "[" * 3000,
    "files of others": "configs:\n- config_name: default\n  data_files: {outside}/data/*.parquet\n",
    "files above": "configs:\n- config_name: default\n  data_files: ../outside/data/*.parquet\n",
    "a type that is none": "dataset_info:\n  features:\n  - name: image\n    _type: os.system\n",
    "a configuration's name": "configs:\n- config_name: ../../x\n  data_files: data/*.parquet\n",
}


@pytest.mark.parametrize("name", CARDS)
def test_cards_of_datasets(name, tmp_path):
    write_splits(tmp_path / "outside", train=range(9))
    folder = write_splits(tmp_path / "images", train=range(9))
    text = CARDS[name].replace("{mark}", str(tmp_path / "mark"))
    text = text.replace("{outside}", str(tmp_path / "outside"))
    (folder / "README.md").write_text(f"---\n{text}\n---\nHello\n")

    def read():
        images = load_images(str(folder), samples=2, judge_samples=2)
        return len(images.judge)

    attempt(read, tmp_path, seconds=20).refused(error="DataError")
    # A model's card is only asked for its licence, and one that is odd states none.
    assert attempt(lambda: licence_of(folder), tmp_path, seconds=20).done() is None
    assert not (tmp_path / "mark").exists()


def test_a_licence_is_one_line(tmp_path):
    (tmp_path / "README.md").write_text(f"---\nlicense: {json.dumps(EVIL)}\n---\n")
    shows_nothing(licence_of(tmp_path) or "")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of(tmp_path) == "mit"

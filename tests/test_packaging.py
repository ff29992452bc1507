"""The package installs as one top-level name, as a wheel and editable."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command, cwd, check=True, **environment):
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, **environment},
        text=True,
        capture_output=True,
        check=check,
    )


HOMES = {"ngf_hub": "ngf_hub", "cli": "ngf_hub/cli", "model_cards": "ngf_hub/model_cards"}


def modules_on_disk():
    """Where the wheel must hold each module."""
    for folder, place in HOMES.items():
        for module in (ROOT / folder).rglob("*.py"):
            yield f"{place}/{module.relative_to(ROOT / folder).as_posix()}"


def packages_on_disk():
    """The packages of these, dotted."""
    for module in modules_on_disk():
        if module.endswith("/__init__.py"):
            yield module.removesuffix("/__init__.py").replace("/", ".")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the sources to build in: builds leave files, and tests run side by side."""
    folder = tmp_path_factory.mktemp("checkout") / "ngf-hub"
    parts = ("ngf_hub", "cli", "model_cards", "pyproject.toml", "README.md", "LICENSE")
    folder.mkdir()
    for part in parts:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--wheel-dir",
        folder,
        checkout,
        cwd=folder,
    )
    return next(folder.glob("*.whl"))


def environment_with(tmp_path, *install):
    """A virtual environment that has the tool and, of the rest, what the tests run with."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    # Gigabytes of PyTorch are taken from the environment of the tests; the tool itself
    # is not: its own site-packages come first and hold it.
    site = next((venv / "lib").glob("python*/site-packages"))
    others = Path(pytest.__file__).parent.parent
    (site / "others.pth").write_text(f"{others}\n")
    run(
        sys.executable, "-m", "pip", "--python", venv / "bin" / "python",
        "install", "--no-build-isolation", "--no-deps", "--ignore-installed", *install,
        cwd=tmp_path,
    )  # fmt: skip
    return venv, site


def check_demo(venv, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    done = run(venv / "bin" / "ngf-hub", "demo", "--json", cwd=work, HF_HUB_OFFLINE="1")
    report = json.loads(done.stdout)
    assert report["before"]["attack_success"]["value"] >= 0.9
    written = {p.name for p in (work / "ngf-demo").iterdir()}
    assert {
        "model.safetensors", "config.json", "report.json", "README.md", "before_after.png",
        "trigger.png", "trigger",
    } <= written  # fmt: skip


def test_the_wheel_holds_every_package_and_one_top_level_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {
        name.removesuffix("/__init__.py").replace("/", ".")
        for name in names
        if name.endswith("/__init__.py")
    }
    assert inside == set(packages_on_disk())
    assert {name for name in names if name.endswith(".py")} == set(modules_on_disk())
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"ngf_hub"}
    assert "ngf_hub/py.typed" in names
    assert any(n.startswith("ngf_hub/model_cards/") and n.endswith(".jinja") for n in names)


@pytest.mark.slow
def test_an_installed_wheel_finds_all_that_it_reads(wheel, tmp_path):
    """The calibration, the card's templates, and what a page is made of; the demo takes longer."""
    venv, site = environment_with(tmp_path, wheel)
    assert (site / "ngf_hub" / "cli").is_dir()
    assert not (site / "cli").exists()
    where = run(
        venv / "bin" / "python", "-c", "import ngf_hub, ngf_hub.cli as c; print(c.__file__)",
        cwd=tmp_path,
    )  # fmt: skip
    assert where.stdout.strip().startswith(str(site))
    missing = subprocess.run(
        [venv / "bin" / "python", "-c", "import cli"], cwd=tmp_path, capture_output=True
    )
    assert missing.returncode != 0
    work = tmp_path / "work"
    work.mkdir()
    lines = {
        "attack": [
            "attack", "--attack", "badnets", "--model", "timm/test_resnet", "--dataset", "digits",
            "--image-size", "16", "--samples", "50", "--judge-samples", "20", "--epochs", "1",
            "--device", "cpu", "--output", "attacked",
        ],
        "scan": ["scan", "attacked", "--evidence", "margin", "--device", "cpu", "--json"],
        "purify": [
            "purify", "attacked", "--dataset", "digits", "--method", "ngf", "--samples", "50",
            "--judge-samples", "20", "--device", "cpu", "--output", "purified",
        ],
        "page": ["report", "purified", "--html", "page.html"],
    }  # fmt: skip
    for name, words in lines.items():
        done = run(venv / "bin" / "ngf-hub", *words, cwd=work, check=False, HF_HUB_OFFLINE="1")
        # A scan may flag so hasty a network: exit code 1 is no error.
        assert done.returncode in ((0, 1) if name == "scan" else (0,)), done.stderr
        if name == "scan":
            (told,) = json.loads(done.stdout)["scans"]
            assert told["p_value"] is not None
    assert "Clean accuracy" in (work / "purified" / "README.md").read_text()
    assert "<style>" in (work / "page.html").read_text()


@pytest.mark.slow
def test_the_demo_runs_from_an_editable_install(checkout, tmp_path):
    venv, _ = environment_with(tmp_path, "-e", checkout)
    where = run(
        venv / "bin" / "python", "-c", "import ngf_hub.cli as c; print(c.__file__)", cwd=tmp_path
    )
    assert Path(where.stdout.strip()).parent == checkout / "cli"
    check_demo(venv, tmp_path)

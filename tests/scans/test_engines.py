"""Engines by name; what workers are given of the environment and of the machine."""

import os
import pickle
import subprocess
import sys
import threading

import pytest

from ngf_hub.errors import NgfHubError
from ngf_hub.scans.engines.base import Fleet, make_engine
from ngf_hub.scans.engines.environment import Environment, Secret, without_tokens
from ngf_hub.scans.engines.ray_cluster import MEMORY, Share, _own_folder, _WithoutRay, share
from ngf_hub.scans.engines.ray_worker import Parcel

TOKEN = "hf_" + "x" * 34
GB = 2**30


def test_an_engine_that_nobody_knows():
    with pytest.raises(NgfHubError, match="Unknown engine 'magic'") as raised:
        make_engine("magic")
    assert raised.value.hint == "Known: local, ray."


@pytest.mark.parametrize("fleet", [Fleet(address="auto"), Fleet(workers=2), Fleet(retries=0)])
def test_one_process_is_no_fleet(fleet):
    with pytest.raises(NgfHubError, match="are of a fleet"):
        make_engine("local", fleet).check(None)
    make_engine("local", Fleet()).check(None)


def test_where_ray_is_not_installed_one_line_says_how_to(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NgfHubError, match="needs Ray, which is not installed") as raised:
        make_engine("ray").check(None)
    assert raised.value.hint == "Run: pip install 'ngf-hub[fleet]'"


def test_a_gpu_by_its_number_is_refused():
    with pytest.raises(NgfHubError, match="cuda:1 names one"):
        make_engine("ray").check("cuda:1")


def test_nothing_that_reads_the_environment_is_imported_before_a_worker_has_its_own():
    code = (
        "import sys, ngf_hub.scans.engines.ray_worker, ngf_hub.scans.engines.environment\n"
        "early = {'huggingface_hub', 'torch', 'ray', 'datasets', 'timm'} & set(sys.modules)\n"
        "assert not early, early\n"
        "import ngf_hub.scans.engines.known\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_travel_and_secrets_apart_from_them(monkeypatch):
    given = {
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "HF_TOKEN_PATH": "/home/me/token",
        "HF_HOME": "/home/me/hub",
        "HF_HUB_CACHE": "/home/me/cache",
        "HF_SECRET_THING": "s",
        "AWS_SECRET_ACCESS_KEY": "k",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environment = Environment.current()
    assert environment.settings["HF_HUB_DISABLE_XET"] == "1"
    assert not (given.keys() - {"HF_HUB_DISABLE_XET"}) & environment.settings.keys()
    assert TOKEN not in repr(environment)
    assert TOKEN not in f"{environment.token}"
    sent = pickle.loads(pickle.dumps(environment))
    for name in given:
        monkeypatch.delenv(name)
    sent.apply()
    assert (os.environ["HF_TOKEN"], os.environ["HF_HUB_DISABLE_XET"]) == (TOKEN, "1")


def test_what_the_models_were_looked_up_with_is_told_also_where_it_is_not_set(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    settings = Environment.current().settings
    assert settings["HF_ENDPOINT"] == constants.ENDPOINT
    assert settings["HF_HUB_OFFLINE"] == "0"


def test_a_given_token_counts(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert Environment.current("hf_other").token.reveal() == "hf_other"


def test_processes_that_are_started_have_no_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(KeyError), without_tokens():
        os.environ["HF_TOKEN"]
    assert os.environ["HF_TOKEN"] == TOKEN


def machine(cpus, gigabytes, gpus=0):
    return {"CPU": float(cpus), "memory": float(gigabytes * GB), "GPU": float(gpus)}


@pytest.mark.parametrize(
    ("resources", "fleet", "device", "expected"),
    [
        (machine(2, 14), Fleet(), None, Share(1, 0, 2)),
        (machine(64, 64), Fleet(), None, Share(2, 0, 32)),
        (machine(4, 1), Fleet(), None, Share(4, 0, 1)),
        (machine(8, 64), Fleet(workers=2), None, Share(4, 0, 2)),
        (machine(8, 64), Fleet(cpus=3), None, Share(3, 0, 2)),
        (machine(64, 512, 4), Fleet(), None, Share(8, 1, 4)),
        (machine(16, 128, 1), Fleet(), "cuda", Share(8, 1, 1)),
        (machine(16, 128, 1), Fleet(gpus=0.25), "cuda", Share(4, 0.25, 4)),
        (machine(16, 128, 1), Fleet(), "cpu", Share(1, 0, 16)),
    ],
)
def test_each_model_has_its_share(resources, fleet, device, expected):
    assert share(fleet, device, resources, [resources]) == expected
    assert MEMORY == 2 * GB


def test_what_no_machine_has_is_refused_instead_of_waited_for():
    nodes = [machine(4, 16), machine(4, 16)]
    with pytest.raises(NgfHubError, match="has 6 CPUs and 0 GPUs") as raised:
        share(Fleet(cpus=6), None, machine(8, 32), nodes)
    assert "--cpus-per-model" in raised.value.hint
    with pytest.raises(NgfHubError, match="1 GPUs"):
        share(Fleet(gpus=1), None, machine(8, 32), nodes)


def test_no_model_needs_more_than_one_machine_has():
    nodes = [machine(4, 16), machine(4, 16)]
    assert share(Fleet(workers=1), None, machine(8, 32), nodes) == Share(4, 0, 1)


def test_a_result_travels(tmp_path):
    files = {"scan.json": b"{}", "triggers/1/mask.safetensors": b"\x00"}
    Parcel("{}", files).unpack(tmp_path)
    assert (tmp_path / "triggers" / "1" / "mask.safetensors").read_bytes() == b"\x00"
    assert Parcel("{}", {}).failed


@pytest.mark.parametrize("name", ["../outside", "/outside", "triggers/../../outside"])
def test_a_result_is_written_nowhere_else(name, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    name = str(tmp_path / "outside") if name.startswith("/") else name
    with pytest.raises(ValueError, match="path"):
        Parcel("{}", {name: b"x"}).unpack(inside)
    assert not (tmp_path / "outside").exists()


def test_rays_own_messages_are_no_results(capsys):
    stream = _WithoutRay()
    print("a result", file=stream)
    thread = threading.Thread(
        target=print, args=("A worker died",), kwargs={"file": stream}, name="ray_listen"
    )
    thread.start()
    thread.join()
    assert capsys.readouterr().out == "a result\n"


def test_what_a_killed_process_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ngf_hub.scans.engines.ray_cluster._LONGEST", 1000)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, alive = tmp_path / f"ngf-hub-ray-{dead.pid}-a", tmp_path / f"ngf-hub-ray-{os.getpid()}-b"
    left.mkdir()
    alive.mkdir()
    made = _own_folder()
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, made.name}


def test_a_secret_is_shown_nowhere():
    secret = Secret(TOKEN)
    assert TOKEN not in f"{secret} {secret!r} {[secret]} {Environment({}, secret)}"
    assert secret.reveal() == TOKEN

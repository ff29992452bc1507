"""The libraries that people use, unmodified, each in a process of its own."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLIENTS = Path(__file__).parent / "clients"


def run(hub, tmp_path, script, *arguments, token=None):
    """What a client prints."""
    env = {**hub.env(tmp_path / "home", token), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, CLIENTS / script, *arguments],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_cards(local_hub, tmp_path):
    local_hub.add_repo("acme/card")
    seen = run(local_hub, tmp_path, "cards.py", "acme/card", token=local_hub.token)
    commit = local_hub.commit("acme/card")
    assert seen["user"] == "alice"
    assert seen["commit_url"] == f"{local_hub.endpoint}/acme/card/commit/{commit.oid}"
    assert seen["loaded"] == 0.95
    assert seen["cached_at"].startswith(str(tmp_path / "home"))
    assert commit.oid in seen["cached_at"]
    assert "must be one of the Hub's licenses" in seen["refusal"]
    assert b"acme/card" in local_hub.read("acme/card", "README.md")


CARD = """\
---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names: {"0": even, "1": odd}
---
"""


def parquet(rows, generator):
    """Noisy images, which do not compress, with their labels."""
    images = []
    for pixels in generator.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        images.append({"bytes": stream.getvalue(), "path": None})
    target = io.BytesIO()
    table = pa.table({"image": images, "label": [n % 2 for n in range(rows)]})
    pq.write_table(table, target)
    return target.getvalue()


def test_datasets(local_hub, tmp_path):
    generator = np.random.default_rng(0)
    shards = [f"data/train-{number:05d}-of-00004.parquet" for number in range(4)]
    test_file = "data/test-00000-of-00001.parquet"
    files = {"README.md": CARD, test_file: parquet(20, generator)}
    files |= {path: parquet(50, generator) for path in shards}
    sha = local_hub.add_repo("acme/digits", files=files, repo_type="dataset")
    local_hub.add_commit("acme/digits", delete=shards, repo_type="dataset")
    local_hub.add_repo("acme/hidden", files=files, repo_type="dataset", private=True)
    local_hub.add_repo("acme/gated", files=files, repo_type="dataset", gated=True)
    with local_hub.log.record() as log:
        seen = run(
            local_hub,
            tmp_path,
            "image_datasets.py",
            *("acme/digits", sha, "bob/pushed", "acme/hidden", "acme/gated"),
            token=local_hub.tokens["bob"],
        )
    assert seen["streamed_labels"] == [0, 1, 0]
    assert seen["streamed_sizes"] == [[32, 32]] * 3
    assert (seen["test_rows"], seen["pushed_rows"]) == (20, 20)
    assert seen["class_names"] == ["even", "odd"]
    assert all("doesn't exist" in seen["errors"][n] for n in (0, 2))
    assert "gated" in seen["errors"][1]
    downloads = log.select(method="GET", path="digits/resolve")
    whole = [entry.path for entry in downloads if entry.status == 200]
    assert any(path.endswith(test_file) for path in whole)
    streamed = [entry.path for entry in downloads if entry.status == 206]
    assert any(path.endswith(shards[0]) for path in streamed)
    assert not any(path.endswith(shards[-1]) for path in streamed), "three rows are in the first"
    assert local_hub.commit("bob/pushed", repo_type="dataset").files[test_file].lfs


def test_models(local_hub, tmp_path):
    seen = run(
        local_hub,
        tmp_path,
        "image_models.py",
        *("acme/resnet", "acme/vit"),
        token=local_hub.token,
    )
    assert seen["timm_difference"] == 0
    assert seen["transformers_difference"] == 0
    assert seen["transformers_commit"] == local_hub.commit("acme/vit").oid
    for repo_id in ("acme/resnet", "acme/vit"):
        files = local_hub.commit(repo_id).files
        assert files["model.safetensors"].lfs
        assert not files["config.json"].lfs
        sent = local_hub.log.bytes_sent(f"{repo_id}/resolve/")
        assert sent >= files["model.safetensors"].size, "the weights came from the Hub"

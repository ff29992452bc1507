"""A Hub with two tiny models and images, and the commands that are run on it."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

from tests.hub.server import LocalHub

SIDE = 16
NAMES = ["red", "green", "blue"]
TIMM, TRANSFORMERS, DATA = "acme/net", "acme/vit", "acme/pixels"
ROWS = {"train": 48, "test": 24}


@dataclass(frozen=True)
class Command:
    """A command line and what belongs to it.

    Attributes:
        words: The arguments, run in a folder of their own.
        code: The exit code where nothing goes wrong.
        output: The folder that it writes.
        repo: The repository that it publishes to.
    """

    words: tuple[str, ...]
    code: int = 0
    output: str | None = None
    repo: str | None = None


_IMAGES = ("--dataset", DATA, "--samples", "24")
_PURIFY = (
    "purify", TIMM, *_IMAGES, "--judge-samples", "16", "--method", "ngf",
    "-o", "steps=3", "--output", "out",
)  # fmt: skip
COMMANDS = {
    "download": Command(("layers", TRANSFORMERS)),
    "scan": Command(
        ("scan", TIMM, *_IMAGES, "--evidence", "files", "--output", "found"), output="found"
    ),
    "scan-two": Command(
        ("scan", TIMM, TRANSFORMERS, "--evidence", "files", "--output", "found"), output="found"
    ),
    "purify": Command(_PURIFY, output="out"),
    "purify-push": Command(
        (*_PURIFY, "--push-to", "acme/pushed"), output="out", repo="acme/pushed"
    ),
    "publish": Command(("publish", "made", "acme/made"), repo="acme/made"),
}


def build_hub(root: Path) -> None:
    """Seed the store of a Hub; the same content each time."""
    import timm
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    from ngf_hub.adapters import load_model

    torch.manual_seed(0)
    overlay = {"input_size": (3, SIDE, SIDE), "crop_pct": 1.0, "label_names": NAMES}
    network = timm.create_model(
        "resnet10t",
        num_classes=len(NAMES),
        channels=(8, 8, 16, 16),
        stem_width=8,
        pretrained_cfg_overlay=overlay,
    )
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIDE,
        patch_size=8,
        id2label=dict(enumerate(NAMES)),
        label2id={name: index for index, name in enumerate(NAMES)},
    )
    processor = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    hub = LocalHub(root / "store")
    for repo, classifier in (
        (TIMM, load_model(network)),
        (TRANSFORMERS, load_model(ViTForImageClassification(config), processor=processor)),
    ):
        folder = root / repo.replace("/", "-")
        classifier.save(folder)
        (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
        hub.add_repo(repo, folder=folder)
    torch.save({"step": torch.ones(3)}, root / "optimizer.pt")
    hub.add_commit(TRANSFORMERS, {"optimizer.pt": root / "optimizer.pt"})
    hub.add_repo(
        DATA,
        repo_type="dataset",
        files={
            f"data/{split}-00000-of-00001.parquet": parquet(root / f"{split}.parquet", split, rows)
            for split, rows in ROWS.items()
        },
    )


def parquet(path: Path, split: str, rows: int) -> Path:
    """Noisy images whose class is their brightest colour."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature
    from PIL import Image

    generator = random.Random(split)
    pictures, labels = [], []
    for row in range(rows):
        label = row % len(NAMES)
        pixels = [generator.randrange(120) for _ in range(SIDE * SIDE * 3)]
        pixels[label::3] = [value + 100 for value in pixels[label::3]]
        buffer = io.BytesIO()
        Image.frombytes("RGB", (SIDE, SIDE), bytes(pixels)).save(buffer, format="PNG")
        pictures.append({"bytes": buffer.getvalue(), "path": None})
        labels.append(label)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=NAMES)})
    Dataset.from_dict({"image": pictures, "label": labels}, features=features).to_parquet(path)
    return path


def environment(place: Path, port: int, token: str | None = None) -> dict[str, str]:
    """The environment of a client of the Hub on a port, whose every file lies below a folder.

    Time-outs are short by the variables that users have for it.
    """
    hub = LocalHub(place / "no-store")
    hub.endpoint = f"http://127.0.0.1:{port}"
    return hub.env(place / "home", token) | {
        "NGF_HUB_CACHE": str(place / "cache"),
        "TMPDIR": str(place / "tmp"),
        "XDG_CACHE_HOME": str(place / "xdg"),
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_ETAG_TIMEOUT": "1",
        "NGF_HUB_RETRIES": "3",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "COLUMNS": "200",
    }

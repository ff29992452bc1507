"""What runs on a worker of a Ray cluster: the scan of one model.

Nothing that reads the environment may be imported before the worker was given
its own, so that all imports but the standard library's are made inside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngf_hub.scans.engines.environment import Environment
    from ngf_hub.scans.jobs import Wanted


@dataclass(frozen=True)
class Order:
    """One model to scan.

    Attributes:
        name: The Hub id or the folder.
        commit: The commit of a Hub model.
        base: What the path of a folder is relative to; ``None`` of a Hub model.
        command: The command that repeats the scan.
        threads: Of PyTorch.
    """

    name: str
    commit: str | None
    base: str | None
    command: Sequence[str]
    threads: int


@dataclass(frozen=True)
class Parcel:
    """What the scan of one model gave, as it travels.

    Attributes:
        report: The report as JSON.
        files: What :func:`ngf_hub.scans.output.fill` wrote; none where the scan failed.
        complete: See :class:`ngf_hub.scans.steps.Scanned`.
    """

    report: str
    files: dict[str, bytes]
    complete: bool = False

    @property
    def failed(self) -> bool:
        """Whether the model could not be scanned."""
        return not self.files

    def unpack(self, folder: Path) -> None:
        """Write the files into a folder.

        Raises:
            ValueError: A path leads out of it.
        """
        for name, content in self.files.items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"a result holds the path {name!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class OtherVersionError(Exception):
    """The worker would judge in another way than was asked for."""


def pack(wanted: Wanted) -> dict[str, Any]:
    """What is asked of every model, as values that any process can read; without tokens."""
    images = wanted.images
    return {
        "content": wanted.content,
        "options": {name: value for name, value in wanted.options.items() if name != "token"},
        "info": None if wanted.info is None else wanted.info.model_dump_json(),
        "images": None
        if images is None
        else {
            "pictures": {row: images.encoded(index) for index, row in enumerate(images.rows)},
            "rows": images.rows,
            "labels": None if images.labels is None else images.labels.tolist(),
            "class_names": images.class_names,
            "split": images.split,
        },
    }


def scan_model_task(environment: Environment, sent: Sequence[Any], order: Order) -> Parcel:
    """Scan one model on this worker.

    Args:
        environment: Taken over before anything is imported that reads it.
        sent: A reference to what :func:`pack` gave, in a list: Ray would else
            resolve it, and import what it is made of, before this begins.
        order: Which model.

    Raises:
        OtherVersionError: This worker's ngf-hub is another.
    """
    environment.apply()

    import ray
    import torch

    torch.set_num_threads(max(1, min(order.threads, torch.get_num_threads())))
    from ngf_hub.scans.jobs import failed, judged_by

    given = ray.get(sent[0])
    here = judged_by()
    if any(given["content"][name] != value for name, value in here.items()):
        raise OtherVersionError(here["tool_version"])
    wanted = _unpack(given, order)
    if environment.token is not None and "HF_HUB_DISABLE_IMPLICIT_TOKEN" in os.environ:
        wanted.options["token"] = environment.token.reveal()
    try:
        return _scan(wanted, order)
    except Exception as error:
        report = failed(order.name, error, order.commit).report
        return Parcel(report.model_dump_json(), {})


def _unpack(given: dict[str, Any], order: Order) -> Wanted:
    from ngf_hub.data import ImageSet
    from ngf_hub.report import DataInfo
    from ngf_hub.scans.jobs import Wanted

    told, images = given["images"], None
    if told is not None:
        images = ImageSet(
            told["pictures"].__getitem__,
            told["rows"],
            labels=told["labels"],
            class_names=told["class_names"],
            split=told["split"],
        )
    info = None if given["info"] is None else DataInfo.model_validate_json(given["info"])
    wanted = Wanted(images, info, dict(given["options"]), lambda name, commit: order.command)
    wanted.__dict__["content"] = given["content"]  # as it was computed when it was planned
    return wanted


def _scan(wanted: Wanted, order: Order) -> Parcel:
    import tempfile

    from ngf_hub.errors import ModelError
    from ngf_hub.progress import silent
    from ngf_hub.scans.jobs import Job
    from ngf_hub.scans.output import fill
    from ngf_hub.source import locate

    if order.base is not None:
        if os.path.isdir(order.base):
            os.chdir(order.base)
        if not isinstance(locate(order.name), Path):  # a Hub id that is also a folder's name
            raise ModelError(
                "The folder is not on the machine that was to scan it.",
                "Put it where every machine of the cluster finds it, or on the Hub.",
            )
    scanned = wanted.scan(Job(order.name, order.commit), track=silent, tell=lambda line: None)
    with tempfile.TemporaryDirectory(prefix="ngf-hub-scan-") as place:
        folder = Path(place)
        report = fill(folder, scanned)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return Parcel(report.model_dump_json(), files, scanned.complete)

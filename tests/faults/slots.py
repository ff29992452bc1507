"""Sessions side by side: processes with everything imported, which fork one session a plan.

The client library reads its variables when it is imported, so that each slot has a Hub's
port and a home of its own for good; what all slots import alike is imported once.
"""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import ClassVar, TypeVar

from tests.faults.plans import Plan, Told

T = TypeVar("T")


def prepare() -> None:
    """Import what does not depend on the environment of a client."""
    if "huggingface_hub" in sys.modules:
        raise RuntimeError("huggingface_hub is imported already: its variables are read")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MPLBACKEND"] = "agg"
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch

    torch.set_num_threads(1)


class Slot:
    """One process that carries out plans one after another.

    Args:
        work: A folder of its own.
        world: Where the Hub and the references lie, or are made.
    """

    connections: ClassVar[list[Connection]] = []

    def __init__(self, work: Path, world: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.connection, theirs = Pipe()
        Slot.connections.append(self.connection)
        self.process = os.fork()
        if self.process == 0:
            try:
                # Those of other slots, too: else none would notice that this program ended.
                for connection in Slot.connections:
                    connection.close()
                _serve(theirs, work.resolve(), world.resolve(), self.port)
            except EOFError:
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        theirs.close()

    def end(self) -> None:
        """Let it go."""
        self.connection.send(None)
        self.connection.close()
        os.waitpid(self.process, 0)


def _serve(connection: Connection, work: Path, world: Path, port: int) -> None:
    from tests.faults.world import environment

    os.environ.pop("HF_HUB_OFFLINE", None)
    os.environ.update(environment(work / "plan", port))
    _import_all()
    if not (world / "references.pickle").exists():
        _in_fork(lambda: make_world(world, work / "plan", port))
    connection.send("ready")
    while (plan := connection.recv()) is not None:
        connection.send(_in_fork(lambda: _told(plan, world, work / "plan", port)))


def _import_all() -> None:
    import datasets.packaged_modules.parquet.parquet
    import matplotlib.backends.backend_agg
    import PIL.Image
    import pydantic.type_adapter
    import rich.jupyter
    import rich.table
    import scipy.io
    import threadpoolctl
    import timm
    import transformers
    import uvicorn.protocols.http.h11_impl
    import uvicorn.server
    from transformers import ViTForImageClassification, ViTImageProcessor

    import ngf_hub.adapters.timm
    import ngf_hub.adapters.transformers
    import ngf_hub.card
    import ngf_hub.cli.app
    import ngf_hub.data.duplicates
    import ngf_hub.data.hub
    import ngf_hub.data.load
    import ngf_hub.data.wordnet
    import ngf_hub.evidence.kinds
    import ngf_hub.methods
    import ngf_hub.pipeline
    import ngf_hub.plots
    import ngf_hub.publishing
    import ngf_hub.scanning
    import ngf_hub.scans.formats
    import tests.faults.session
    import tests.hub.server

    PIL.Image.init()
    assert all((datasets, timm, transformers, uvicorn, ngf_hub, tests))
    assert all((matplotlib, pydantic, rich, scipy, threadpoolctl))
    assert ViTForImageClassification
    assert ViTImageProcessor


def _in_fork(work: Callable[[], T]) -> T | None:
    """What a function gives in a process of its own, which leaves nothing behind."""
    ours, theirs = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            theirs.send(work())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return None
    finally:
        ours.close()
        os.waitpid(child, 0)


def make_world(world: Path, place: Path, port: int) -> None:
    """The Hub's store, an earlier result of each command, and what each gives undisturbed."""
    from tests.faults.session import Session
    from tests.faults.world import COMMANDS, build_hub

    shutil.rmtree(world, ignore_errors=True)
    world.mkdir(parents=True)
    build_hub(world)
    for name in ("purify", "scan"):
        command = COMMANDS[name]
        session = Session(world, place, port)
        ended = session.run((*command.words, "--seed", "1"))
        assert ended.code == command.code, ended
        shutil.copytree(place / command.output, world / f"earlier-{command.output}")
        session.hub.end()
        if name == "purify":
            shutil.copytree(world / "earlier-out", world / "made")
    references = {}
    for name, command in COMMANDS.items():
        session = Session(world, place, port)
        references[name] = session.refer(command)
        session.hub.end()
    (world / "references.pickle").write_bytes(pickle.dumps(references))


def references_of(world: Path) -> dict:
    """What :func:`make_world` found out."""
    return pickle.loads((world / "references.pickle").read_bytes())


def _told(plan: Plan, world: Path, place: Path, port: int) -> dict:
    from tests.faults.session import carry_out

    told = carry_out(plan, world, place, port, references_of(world)[plan.command])
    return asdict(told)


def start(count: int, work: Path) -> list[Slot]:
    """Slots that are ready; the first one makes the world."""
    prepare()
    slots = [Slot(work / "slot-0", work / "world")]
    _ready(slots[0])
    slots += [Slot(work / f"slot-{index}", work / "world") for index in range(1, count)]
    for slot in slots[1:]:
        _ready(slot)
    return slots


def _ready(slot: Slot) -> None:
    if slot.connection.recv() != "ready":
        raise RuntimeError("A slot did not start")


def carry_out_all(plans: Iterable[Plan], slots: list[Slot]) -> Iterator[Told]:
    """Carry out plans, as many at a time as there are slots, as each is done."""
    waiting = iter(plans)
    busy: dict[Connection, Plan] = {}
    for slot in slots:
        if (plan := next(waiting, None)) is not None:
            slot.connection.send(plan)
            busy[slot.connection] = plan
    while busy:
        for connection in wait(list(busy)):
            plan = busy.pop(connection)
            told = connection.recv()
            if told is None:
                told = {"plan": plan.to_dict(), "first": 99, "misses": ["the harness failed"]}
            yield Told(**told)
            if (plan := next(waiting, None)) is not None:
                connection.send(plan)
                busy[connection] = plan

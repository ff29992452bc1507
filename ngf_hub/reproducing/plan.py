"""From the recorded arguments of a run to a command of this tool that runs it again.

The recorded command line is for people and is not read (but for the word ``demo``). Each
argument is looked up here, checked for what it may be, and written as one word
``--name=value``, so that no value can turn into another option. What is not known is
refused: a run that leaves out what it does not understand is another run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngf_hub.data.known import find_known
from ngf_hub.errors import ReportError
from ngf_hub.hub import is_hub_id
from ngf_hub.paths import existing
from ngf_hub.report import Report
from ngf_hub.reproducing.fetched import Fetched
from ngf_hub.text import plain

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# No separators of paths: what a report names must not be a file of this machine.
_VALUE = re.compile(r"[\w.+-]{0,100}", re.ASCII)
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,300}")
_LARGEST = 2**31 - 1
_HUB_DATASET = "hf://datasets/"

# What may be recorded, and of what type; the option has the name of the argument.
_DATA: dict[str, type] = {
    "dataset_config": str,
    "judge_split": str,
    "judge_samples": int,
    "image_column": str,
    "label_column": str,
    "class_subset": bool,
    "classes_by_index": bool,
    "streaming": bool,
    "split": str,
    "samples": int,
}
_RUN: dict[str, type] = {"batch_size": int, "mixed_precision": str}
_PLAIN = {
    "purify": {**_DATA, **_RUN, "layer": str},
    "evaluate": {**_DATA, **_RUN},
    "attack": {**_DATA, **_RUN, "target": str, "image_size": int},
}
# Looked at one by one below, or taken from elsewhere in the report.
_COMMON = {"model", "revision", "dataset", "dataset_revision", "trust_remote_code", "seed"}
_SPECIAL = {
    "purify": _COMMON | {"trigger", "target", "device", "method", "options", "forget"},
    "evaluate": _COMMON | {"trigger", "target", "device", "triggered"},
    "attack": _COMMON
    | {"device", "attack", "options", "training", "model_options", "from_scratch"},
}
_TRAINING = {
    "epochs": "--epochs",
    "batch_size": "--train-batch-size",
    "optimiser": "--optimiser",
    "learning_rate": "--learning-rate",
    "weight_decay": "--weight-decay",
}
# What timm.create_model itself takes: checkpoints, caches and other weights.
_NOT_OF_ARCHITECTURE = re.compile(
    r"pretrained.*|checkpoint.*|cache.*|scriptable|exportable|no_jit|features_only|model_name|url|"
    r"file|.*_cfg|.*_dir|.*_path|.*_fn",
)


@dataclass(frozen=True)
class Mine:
    """What the reader gives in place of what the report cannot bring.

    Attributes:
        model: The source model, in place of a local one.
        dataset: The dataset, likewise.
        forget: Folders of the triggers that the method was told to forget.
        device: What to compute on.
        trust_remote_code: Let the source model run code of its repository.
    """

    model: str | None = None
    dataset: str | None = None
    forget: Sequence[Path] = field(default_factory=tuple)
    device: str | None = None
    trust_remote_code: bool = False


def make_plan(fetched: Fetched, mine: Mine) -> list[str]:
    """The words of the command, without the place of its output.

    Raises:
        ReportError: The report does not record a run that can be run again, or one that
            must not be; the message says which argument it is.
    """
    report = fetched.report
    if is_demo(report):
        return ["demo", f"--seed={_seed(report)}"]
    recorded = report.provenance.arguments
    kind = report.kind
    if "dataset" not in recorded:
        raise ReportError(
            "This result was made from Python, from a model or images in memory.",
            "Only who has them can make it again.",
        )
    for key, value in recorded.items():
        if key not in _PLAIN[kind] and key not in _SPECIAL[kind] and value not in (None, False):
            raise _refused(key, "is not known here", "Upgrade ngf-hub.")
    words = [kind, *_model(report, mine), *_dataset(report, mine)]
    words += [
        word for key, of in _PLAIN[kind].items() for word in _option(key, recorded.get(key), of)
    ]
    if kind == "attack":
        words += _attack(recorded)
    else:
        words += _trigger(fetched)
    if kind == "purify":
        words += _method(recorded, mine)
    words.append(f"--seed={_seed(report)}")
    if mine.device is not None:
        words.append(f"--device={mine.device}")
    return words


def is_demo(report: Report) -> bool:
    """Whether the report is that of ``ngf-hub demo``, which makes its model itself."""
    return report.kind == "purify" and report.provenance.command[1:2] == ["demo"]


def dataset_word(report: Report, mine: Mine) -> str:
    """The dataset as a command takes it: nothing of this machine that the reader did not name.

    Raises:
        ReportError: It was a local one, and the reader names none.
    """
    if mine.dataset is not None:
        return _absolute(mine.dataset)
    data = report.data
    if data.revision is not None:
        if not is_hub_id(data.name) or not _COMMIT.fullmatch(data.revision):
            raise _refused("dataset", "is no dataset of the Hub at a commit")
        return _HUB_DATASET + data.name
    known = find_known(data.name)
    if known is not None and known.hub_id is None:
        return data.name.lower()
    name = Path(data.name).name
    raise ReportError(
        f"The run read the local dataset {plain(name, 80)!r}, which the report does not bring.",
        "If you have it, name it with --dataset.",
    )


def _dataset(report: Report, mine: Mine) -> list[str]:
    words = [f"--dataset={dataset_word(report, mine)}"]
    if mine.dataset is None and report.data.revision is not None:
        words.append(f"--dataset-revision={report.data.revision}")
    return words


def _model(report: Report, mine: Mine) -> list[str]:
    """The source model at its commit; nothing of this machine that the reader did not name."""
    recorded, model = report.provenance.arguments, report.model
    attack = report.kind == "attack"
    if attack and report.attack is not None and report.attack.from_scratch:
        name = model.name.removeprefix("timm/")
        if not model.name.startswith("timm/") or not _NAME.fullmatch(name):
            raise _refused("model", "is no architecture of timm")
        return [f"--model={model.name}"]
    if recorded.get("trust_remote_code") and not mine.trust_remote_code:
        raise ReportError(
            "The run let the source model run code of its own repository.",
            "Read that code, then allow it with --trust-remote-code.",
        )
    code = ["--trust-remote-code"] if recorded.get("trust_remote_code") else []
    option = "--from={}" if attack else "{}"
    if mine.model is not None:
        return [option.format(_absolute(mine.model)), *code]
    if model.commit is None:
        name = Path(model.name).name
        raise ReportError(
            f"The run read the local model {plain(name, 80)!r}, which the report does not bring.",
            "If you have it, name it with --model.",
        )
    if not is_hub_id(model.name) or not _COMMIT.fullmatch(model.commit):
        raise _refused("model", "is no repository of the Hub at a commit")
    return [option.format(f"hf-hub:{model.name}"), f"--revision={model.commit}", *code]


def _trigger(fetched: Fetched) -> list[str]:
    """The published trigger folder, where a trigger measured."""
    report = fetched.report
    if report.provenance.arguments.get("triggered"):
        raise ReportError(
            "ASR was measured on images that carried a trigger already, which the report does "
            "not bring.",
            "Only who has them can make it again.",
        )
    if report.trigger is None:
        return []
    if not fetched.has_trigger:
        raise ReportError(
            "The trigger that ASR was measured with does not lie beside the report.",
            "It is the folder trigger/ of a result.",
        )
    return [f"--trigger={fetched.folder / 'trigger'}"]


def _method(recorded: Mapping[str, Any], mine: Mine) -> list[str]:
    words = [f"--method={_name('method', recorded.get('method', 'auto'))}"]
    words += _pairs("options", "--option", recorded.get("options"))
    forget = recorded.get("forget") or []
    if len(forget) != len(mine.forget):
        raise ReportError(
            f"The method was told to forget {len(forget)} triggers, which the report does not "
            f"bring, and {len(mine.forget)} were given.",
            "Name the folder of each with --forget." if forget else "Leave out --forget.",
        )
    return words + [f"--forget={_absolute(str(folder))}" for folder in mine.forget]


def _attack(recorded: Mapping[str, Any]) -> list[str]:
    words = [f"--attack={_name('attack', recorded.get('attack'))}"]
    words += _pairs("options", "--option", recorded.get("options"))
    architecture = recorded.get("model_options")
    for key in architecture if isinstance(architecture, dict) else ():
        if _NOT_OF_ARCHITECTURE.fullmatch(str(key)):
            raise _refused(f"model_options.{key}", "is not the architecture's")
    words += _pairs("model_options", "--model-option", architecture, lists=True)
    training = recorded.get("training")
    if not isinstance(training, dict):
        raise _refused("training", "is missing")
    for key, option in _TRAINING.items():
        value = training.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise _refused(f"training.{key}", "is no number or word")
        words.append(f"{option}={_value(f'training.{key}', value)}")
    words.append("--flip" if training.get("flip") is True else "--no-flip")
    return words


def _option(key: str, value: Any, kind: type) -> list[str]:
    """The word of an argument that has an option of its name; none for the default."""
    name = "--" + key.replace("_", "-")
    if value is None or (value is False and key != "streaming"):
        return []
    if kind is bool:
        if not isinstance(value, bool):
            raise _refused(key, "is neither true nor false")
        return [name if value else f"--no-{key}"]
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
            raise _refused(key, "is no count")
    elif not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
        raise _refused(key, "is no line of text")
    return [f"{name}={value}"]


def _pairs(key: str, option: str, values: Any, *, lists: bool = False) -> list[str]:
    """Words such as ``--option=steps=20``; names and numbers only."""
    if values is None:
        return []
    if not isinstance(values, dict):
        raise _refused(key, "is no list of options")
    words = []
    for name, value in values.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
            raise _refused(f"{key}.{name}", "is no name of an option")
        if value == "":  # the default of those that name a file
            continue
        if lists and isinstance(value, str) and re.fullmatch(r"\[[0-9., ()\[\]-]{0,300}\]", value):
            words.append(f"{option}={name}={value}")
        else:
            words.append(f"{option}={name}={_value(f'{key}.{name}', value)}")
    return words


def _value(key: str, value: Any) -> str:
    if not isinstance(value, str | int | float) or not _VALUE.fullmatch(str(value)):
        raise _refused(key, "is no number or plain word")
    return str(value)


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _refused(key, "is no name")
    return value


def _seed(report: Report) -> int:
    seed = report.provenance.seed
    if not 0 <= seed < 2**32:
        raise _refused("seed", "is no seed")
    return seed


def _absolute(text: str) -> str:
    """A path here as an absolute one, since the run has a folder of its own."""
    path = existing(text)
    return text if path is None else str(path.resolve())


def _refused(key: str, why: str, hint: str = "") -> ReportError:
    return ReportError(f"The recorded argument {plain(key, 60)!r} {why}.", hint)

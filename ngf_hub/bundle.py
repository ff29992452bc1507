"""The files of an output folder that may leave the machine, checked before anything is sent.

An allow-list, not a filter: a file goes out because it is one of the few that
an output folder is made of. Pickles and whatever else lies there stay.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.card import CARD_FILE, REPO_PLACEHOLDER, card_data
from ngf_hub.errors import ModelError, ReportError
from ngf_hub.report import REPORT_FILE, Report
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
ALWAYS = (REPORT_FILE, CARD_FILE)
IF_THERE = (CONFIG_FILE, "preprocessor_config.json")
# The trigger that measured, and those that the method recovered and told or did not tell of.
TRIGGER_FILE = re.compile(
    r"(trigger|recovered/(?:seen|unseen)/[0-9]+-[\w-]+)/trigger\.(?:json|safetensors)", re.ASCII
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Bundle:
    """What an output folder sends.

    Attributes:
        folder: The output folder.
        report: Its report.
        files: Local file by path in the repository, in order.
        left_out: Paths in the folder that are not sent.
    """

    folder: Path
    report: Report
    files: dict[str, Path]
    left_out: tuple[str, ...]

    def card(self, repo_id: str) -> bytes:
        """The README with the repository's name in the code that loads the model."""
        text = self.files[CARD_FILE].read_text(encoding="utf-8")
        return text.replace(REPO_PLACEHOLDER, repo_id).encode()

    def refuse_secrets(self, secrets: Iterable[str | None]) -> None:
        """Refuse to send a text file that holds a token.

        Raises:
            ReportError: One does; the message does not show it.
        """
        secrets = list(secrets)
        for name, path in self.files.items():
            if path.suffix in (".json", ".md"):
                text = path.read_text(encoding="utf-8")
                if redact(text, secrets) != text:
                    raise ReportError(
                        f"{name} holds what looks like an access token.",
                        "Remove it from the file, revoke it on the Hub, and publish again.",
                    )


def collect(folder: Path) -> Bundle:
    """The files of an output folder that may be sent.

    Raises:
        ReportError: The report or the card is missing, broken, or of another run.
        ModelError: The weights or their config are missing, broken, or do not
            belong together.
    """
    report = Report.read(folder)
    there = _regular_files(folder)
    if CARD_FILE not in there:
        raise ReportError(f"No {CARD_FILE} in {folder}.", f"Run `ngf-hub card {folder}`.")
    weights = weight_files(folder, there)
    chosen = [name for name in (*ALWAYS, *IF_THERE) if name in there] + weights
    chosen += _trigger_files(folder, there)
    chosen += [name for name in there if "/" not in name and _is_png(folder / name)]
    _check_config(folder, report, there)
    check_card(folder, report)
    left_out = tuple(sorted(set(there) - set(chosen)))
    return Bundle(folder, report, {name: folder / name for name in chosen}, left_out)


def _regular_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, with ``/`` on every system; links are passed over."""
    found = []
    for base, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(base, name)
            if path.is_file() and not path.is_symlink():
                found.append(path.relative_to(folder).as_posix())
    return found


def _is_png(path: Path) -> bool:
    if path.suffix.lower() != ".png":
        return False
    with path.open("rb") as file:
        return file.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE


def _trigger_files(folder: Path, there: list[str]) -> list[str]:
    """The files of the trigger folders that are whole.

    Raises:
        ModelError: Tensors of one are broken.
    """
    found: dict[str, list[str]] = {}
    for name in there:
        if match := TRIGGER_FILE.fullmatch(name):
            found.setdefault(match[1], []).append(name)
    chosen = [name for names in found.values() if len(names) == 2 for name in names]
    for name in chosen:
        if name.endswith(".safetensors"):
            tensor_names(folder, name)
    return chosen


def weight_files(folder: Path, there: Sequence[str]) -> list[str]:
    """Names of the weight files: one, or the shards of an index and the index.

    Args:
        folder: The folder.
        there: The names of its files that may be among them.

    Raises:
        ModelError: They are missing, broken, or not those of the index.
    """
    indexes = [name for name in there if "/" not in name and name.endswith(INDEX_SUFFIX)]
    if not indexes:
        if WEIGHTS_FILE not in there:
            raise ModelError(
                f"No {WEIGHTS_FILE} in {folder}.",
                "Give a folder that `ngf-hub purify --output` wrote; only safetensors are sent.",
            )
        _some(folder, WEIGHTS_FILE)
        return [WEIGHTS_FILE]
    if len(indexes) > 1 or WEIGHTS_FILE in there:
        names = ", ".join([*indexes, *([WEIGHTS_FILE] if WEIGHTS_FILE in there else [])])
        raise ModelError(f"{folder} holds weights of more than one save: {plain(names)}.")
    weight_map = _read_json(folder, indexes[0]).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{indexes[0]} in {folder} names no weights.")
    shards = sorted({str(name) for name in weight_map.values()})
    held: dict[str, str] = {}
    for shard in shards:
        if shard not in there or not re.fullmatch(r"[\w.-]+\.safetensors", shard):
            raise ModelError(f"{plain(shard)}, which {indexes[0]} names, is not in {folder}.")
        held |= dict.fromkeys(_some(folder, shard), shard)
    if held != weight_map:
        raise ModelError(f"The shards in {folder} do not hold what {indexes[0]} says.")
    return [indexes[0], *shards]


def _some(folder: Path, name: str) -> list[str]:
    """:func:`tensor_names` of a file that must hold some."""
    names = tensor_names(folder, name)
    if not names:
        raise ModelError(f"{name} in {folder} holds no tensors.")
    return names


def tensor_names(folder: Path, name: str) -> list[str]:
    """The tensors that the header of a safetensors file names; the data is not read.

    Raises:
        ModelError: It is no whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / name, framework="numpy") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{name} in {folder} is no whole safetensors file ({plain(error)}).",
            "Run the purification again.",
        ) from error


def _check_config(folder: Path, report: Report, there: list[str]) -> None:
    """Refuse a config that is missing or of another model than the report's.

    Raises:
        ModelError: It is so.
    """
    family = report.model.family
    if CONFIG_FILE not in there:
        if family == "module":  # plain PyTorch: there is no config format
            return
        raise ModelError(f"No {CONFIG_FILE} in {folder}.", "Run the purification again.")
    config = _read_json(folder, CONFIG_FILE)
    key = {"timm": "architecture", "transformers": "model_type"}.get(family)
    if key is not None and not isinstance(config.get(key), str):
        raise ModelError(f"{CONFIG_FILE} in {folder} is no config of {family}: no {key!r}.")
    labels = config.get("id2label")
    classes = len(labels) if isinstance(labels, dict) else config.get("num_classes")
    if isinstance(classes, int) and classes != report.model.num_classes:
        raise ModelError(
            f"{CONFIG_FILE} has {classes} classes, the report {report.model.num_classes}.",
            "Give the folder of one run.",
        )


def check_card(folder: Path, report: Report) -> ModelCard:
    """The card of a folder, if it parses and states the figures of the report.

    The text may have been edited; the results in the YAML block may not differ.

    Raises:
        ReportError: It does not.
    """
    from huggingface_hub import ModelCard

    again = f"Run `ngf-hub card {folder}` to write it again."
    try:
        card = ModelCard((folder / CARD_FILE).read_text(encoding="utf-8"))
        stated = _figures(card.data.get("eval_results"))
    except Exception as error:  # whatever a broken card makes the YAML reader raise
        reason = plain(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise ReportError(f"{CARD_FILE} is no model card ({reason}).", again) from error
    if stated != _figures(card_data(report).get("eval_results")):
        raise ReportError(f"{CARD_FILE} and {REPORT_FILE} state different results.", again)
    return card


def _figures(results: Iterable[Any] | None) -> dict[str, Any]:
    return {result.metric_type: result.metric_value for result in results or ()}


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        ModelError: There is none.
    """
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name} in {folder} is no JSON: {plain(error)}.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{name} in {folder} is no JSON object.")
    return content

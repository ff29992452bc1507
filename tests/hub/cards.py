"""The YAML at the top of a README.md: read it, and hold it against the Hub's rules.

The messages have the form in which the Hub words them
(``"model-index[0].results[0].dataset.config" must be a string``).
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from .card_schema import DatasetCard, ModelCard
from .errors import bad_request
from .routing import Call, Router

router = Router()

_FRONT_MATTER = re.compile(r"\A\s*---[\r\n]+(?P<yaml>[\S\s]*?)[\r\n]+---(\r\n|\n|\Z)")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that comes twice, as the Hub's YAML reader does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicated mapping key '{key_node.value}'", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


@router.on("POST", "/api/validate-yaml")
async def validate_yaml(call: Call) -> Response:
    body = await call.json()
    if not isinstance(body.get("content"), str):
        raise bad_request('"content" is required')
    errors, warnings = validate_card(body["content"], body.get("repoType") or "model")
    answer = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    if errors:
        answer["error"] = "\n".join(errors)
    return JSONResponse(answer, status_code=400 if errors else 200)


def read_metadata(content: str) -> dict[str, Any]:
    """The metadata of a card; empty if there is none or it cannot be read."""
    found = _FRONT_MATTER.match(content)
    try:
        metadata = yaml.safe_load(found["yaml"]) if found else None
    except yaml.YAMLError:
        metadata = None
    return metadata if isinstance(metadata, dict) else {}


def validate_card(content: str, repo_type: str) -> tuple[list[str], list[str]]:
    """The errors and the warnings that the Hub has about a README.md."""
    found = _FRONT_MATTER.match(content)
    if not found or not found["yaml"].strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.load(found["yaml"], _UniqueKeyLoader)
    except yaml.YAMLError as error:
        return [f"bad YAML: {' '.join(str(error).split())}"], []
    if not isinstance(metadata, dict):
        return ["the metadata must be a mapping"], []
    try:
        (DatasetCard if repo_type == "dataset" else ModelCard).model_validate(metadata)
    except ValidationError as error:
        return [_word(item["loc"], item["type"], item["msg"]) for item in error.errors()], []
    return [], []


def _word(location: tuple[int | str, ...], kind: str, message: str) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    known = {
        "missing": "is required",
        "string_type": "must be a string",
        "list_type": "must be an array",
        "bool_type": "must be a boolean",
        "model_type": "must be of type object",
        "model_attributes_type": "must be of type object",
        "too_short": "must contain at least 1 item",
        "string_pattern_mismatch": "is not valid: " + message,
    }
    return f'"{path[1:]}" {known.get(kind, message)}'

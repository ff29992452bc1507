"""What the metadata of a card may hold, by the Hub's documentation.

https://huggingface.co/docs/hub/model-cards, its specification ``modelcard.md``, and
https://huggingface.co/docs/hub/datasets-cards.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

# https://huggingface.co/docs/hub/repositories-licenses
_LICENSES = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0
odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2
llama3.3 llama4 grok2-community gemma unknown other
"""
LICENSES = frozenset(_LICENSES.split())


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _known_license(value: str) -> str:
    if value not in LICENSES:
        raise PydanticCustomError("license", f"must be one of the Hub's licenses, not '{value}'")
    return value


def _metric_value(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        raise PydanticCustomError("value", "must be a number or a string")
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("value", "must be a finite number")
    return value


_License = Annotated[str, AfterValidator(_known_license)]
_LANGUAGE = r"^([a-z]{2,3}(-[A-Za-z]+)*|code|multilingual)$"
_Language = Annotated[str, StringConstraints(pattern=_LANGUAGE)]
_RepoId = Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
_LicenseName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")]


def _list_of(item: Any) -> Any:
    """One string, or a list of them."""
    return Annotated[list[item], BeforeValidator(_one_or_many)]


class _Part(BaseModel):
    """Fields that are not named here are free. A field may be absent, but not null."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Task(_Part):
    type: str
    name: str = ""


class _Dataset(_Part):
    type: str
    name: str
    config: str = ""
    split: str = ""
    revision: str = ""


class _Metric(_Part):
    type: str
    value: Annotated[Any, AfterValidator(_metric_value)]
    name: str = ""
    config: str = ""
    verified: bool = False


class _Source(_Part):
    url: str
    name: str = ""


class _Result(_Part):
    task: _Task
    dataset: _Dataset
    metrics: Annotated[list[_Metric], Field(min_length=1)]
    source: _Source | None = None


class _ModelIndexEntry(_Part):
    name: str
    results: list[_Result]


class _Card(_Part):
    license: _list_of(_License) = []
    license_name: _LicenseName = ""
    license_link: str = ""
    language: _list_of(_Language) = []
    tags: list[str] = []


class ModelCard(_Card):
    """The metadata of a model card."""

    base_model: _list_of(_RepoId) = []
    base_model_relation: Literal["finetune", "adapter", "merge", "quantized"] | None = None
    datasets: _list_of(_RepoId) = []
    metrics: _list_of(str) = []
    library_name: str = ""
    pipeline_tag: str = ""
    thumbnail: str = ""
    model_index: Annotated[list[_ModelIndexEntry], Field(alias="model-index")] = []


class _DatasetConfig(_Part):
    config_name: str


class DatasetCard(_Card):
    """The metadata of a dataset card."""

    pretty_name: str = ""
    task_categories: _list_of(str) = []
    configs: list[_DatasetConfig] = []

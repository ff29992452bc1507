"""Which transformers class a repository's config means, if it means an image classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ngf_hub.adapters.preprocessing import MAX_SIDE
from ngf_hub.errors import ModelError
from ngf_hub.evidence.custom_code import dicts_within
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.adapters.fetch import ModelFiles

# Mapped to image classification, and yet no classifier of images alone.
EXCEPTIONS = {
    "shieldgemma2": "it answers yes or no to a written policy, by a language model's tokens",
}

# transformers makes a name for each class, and a module for each layer, before it sees a weight.
_COUNTS = {"num_labels": 1_000_000, "num_hidden_layers": 1000, "image_size": MAX_SIDE}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without its progress bars and reports: what matters is raised or noted here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def resolve_model(files: ModelFiles, trust: bool) -> tuple[Any, Any]:
    """Config object and model class of a repository.

    Raises:
        ModelError: It is no image classifier, or needs code that is not trusted.
    """
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN,
    )

    raw = files.config
    kind = raw["model_type"]
    listed = raw.get("architectures") or []
    if not isinstance(listed, list):
        raise ModelError(
            f"The config of {files.name} names no list of architectures.", "Mend its config.json."
        )
    named = [name for name in listed if isinstance(name, str)]
    own_code = raw.get("auto_map") if isinstance(raw.get("auto_map"), dict) else None
    classes = KNOWN.get(kind, ()) if isinstance(kind, str) else ()
    classes = (classes,) if isinstance(classes, str) else tuple(classes)
    is_known = bool(classes) and (not named or any(name in classes for name in named))
    if own_code and not is_known:
        entry = own_code.get("AutoModelForImageClassification")
        if entry is None:
            raise _not_a_classifier(files.name, named[0] if named else kind)
        if not trust:
            raise ModelError(
                f"{files.name} needs its own code ({plain(entry, 60)}), which is not run.",
                "If you trust its author, say --trust-remote-code.",
            )
    elif not is_known:
        if not isinstance(kind, str) or kind not in transformers.CONFIG_MAPPING:
            raise ModelError(
                f"transformers {transformers.__version__} does not know the model type "
                f"{plain(kind, 40)!r} of {files.name}.",
                "Upgrade transformers.",
            )
        raise _not_a_classifier(files.name, named[0] if named else kind)
    if "quantization_config" in raw:
        raise ModelError(
            f"{files.name} is quantised, and quantised weights cannot be tuned.",
            "Use the checkpoint that it was made from.",
        )
    if not trust and any(_names_kernel(part) for part in dicts_within(raw)):
        raise ModelError(
            f"{files.name} asks for kernels of another repository, which are not run.",
            "If you trust their author, say --trust-remote-code.",
        )
    _check_counts(files.name, raw)
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(
                files.folder, trust_remote_code=trust and not is_known, local_files_only=True
            )
            if is_known:
                name = next((name for name in named if name in classes), classes[0])
                model_class = getattr(transformers, name)
            else:
                from transformers.dynamic_module_utils import get_class_from_dynamic_module

                model_class = get_class_from_dynamic_module(entry, files.folder)
    except Exception as error:  # config classes validate with exceptions of their own
        raise ModelError(
            f"The config.json of {files.name} does not make sense: {plain(error, 120)}."
        ) from error
    check_kind(files.name, config)
    return config, model_class


def _names_kernel(part: Mapping[str, Any]) -> bool:
    """Whether an entry names a compiled kernel, which would be fetched from the Hub and run.

    The one that transformers keeps for itself has ``_internal`` behind its name.
    """
    return any("/" in str(value)[:1000] for key, value in part.items() if "_implementation" in key)


def _check_counts(name: str, raw: dict[str, Any]) -> None:
    """Refuse numbers of classes and layers for which transformers would fill the memory."""
    for part in dicts_within(raw):
        for key, most in _COUNTS.items():
            value = part.get(key)
            if isinstance(value, int | float) and not 0 <= value <= most:
                raise ModelError(
                    f"The config.json of {name} states {key} {plain(value, 40)}, "
                    "which no image classifier has.",
                    "Use another revision, or mend the repository's config.json.",
                )


def _not_a_classifier(name: str, architecture: object) -> ModelError:
    return ModelError(
        f"{name} is no image classifier: its config names {plain(architecture, 60)}.",
        "Give a model for image classification.",
    )


def check_kind(name: str, config: Any) -> None:
    """Refuse what is mapped to image classification and cannot be handled as such."""
    reason = EXCEPTIONS.get(getattr(config, "model_type", ""))
    if reason is not None:
        raise ModelError(f"{name} cannot be handled: {reason}.", "Give an image classifier.")
    if getattr(config, "problem_type", None) == "multi_label_classification":
        raise ModelError(
            f"{name} gives an image several labels at once.",
            "Give a model with one label an image.",
        )

"""Models of transformers: ``AutoModelForImageClassification`` and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ngf_hub.adapters.base import Classifier, LoadOptions, ModelSource
from ngf_hub.adapters.building import bounded_building
from ngf_hub.adapters.module import first_tensor
from ngf_hub.adapters.preprocessing import Patches, Preprocessing, checked_size, spread
from ngf_hub.adapters.processors import split_processor
from ngf_hub.adapters.transformers_config import check_kind, quiet_transformers, resolve_model
from ngf_hub.adapters.weights import Weights, disk_errors, storage_dtype, stored
from ngf_hub.errors import ModelError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.adapters.fetch import ModelFiles

PROCESSOR_CONFIGS = ("preprocessor_config.json", "processor_config.json")


class TransformersClassifier(Classifier):
    """A ``...ForImageClassification`` model of transformers."""

    family = "transformers"
    processor: Any = None

    @classmethod
    def claims_config(cls, config: dict[str, Any]) -> bool:  # noqa: D102
        return "model_type" in config

    @classmethod
    def claims_module(cls, network: nn.Module) -> bool:  # noqa: D102
        return any(base.__name__ == "PreTrainedModel" for base in type(network).__mro__)

    @classmethod
    def from_files(cls, files: ModelFiles, options: LoadOptions) -> Classifier:  # noqa: D102
        config, model_class = resolve_model(files, options.trust_remote_code)
        processor = None
        if any(files.has(name) for name in PROCESSOR_CONFIGS):
            processor = _read_processor(files, options.trust_remote_code)
        elif options.size is None:
            raise ModelError(
                f"{files.name} has no {PROCESSOR_CONFIGS[0]}: nothing says how to prepare images.",
                "Add the file to it, or give size, mean and std.",
            )
        weights = files.weights()
        network, notes = _load(files.name, model_class, config, weights)
        try:
            processor, preprocessing, more = _prepare(network, processor, options)
        except ModelError:
            raise
        except Exception as error:  # as with configs
            raise ModelError(
                f"The image processor of {files.name} does not make sense: {plain(error, 120)}.",
                "Give size, mean and std instead.",
            ) from error
        classifier = cls(
            network,
            preprocessing,
            class_names=options.class_names or _class_names(config),
            source=files.source(weights, *notes, *more),
            storage_dtype=weights.storage_dtype,
        )
        classifier.processor = processor
        return classifier

    @classmethod
    def from_module(cls, network: nn.Module, options: LoadOptions) -> Classifier:
        """Take over a model object.

        Its preprocessing is that of ``options.processor``, or of ``size``,
        ``mean`` and ``std``, or of the repository that it was loaded from.
        """
        config: Any = network.config
        check_kind(type(network).__name__, config)
        processor = options.processor
        if processor is None and options.size is None:
            processor = _processor_of(network)
        processor, preprocessing, notes = _prepare(network, processor, options)
        classifier = cls(
            network,
            preprocessing,
            class_names=options.class_names or _class_names(config),
            source=ModelSource(
                name=getattr(network, "name_or_path", "") or type(network).__name__,
                notes=tuple(notes),
            ),
            storage_dtype=storage_dtype(network),
        )
        classifier.processor = processor
        return classifier

    @property
    def architecture(self) -> str:  # noqa: D102
        return type(self.network).__name__

    def network_logits(self, inputs: Tensor) -> Tensor:  # noqa: D102
        if not inputs.is_floating_point():
            return first_tensor(self.network(input_ids=inputs))
        patches = next((m for m in self.normalise.modules() if isinstance(m, Patches)), None)
        if patches is None:
            return first_tensor(self.network(pixel_values=inputs))
        shape = torch.tensor(patches.grid, device=inputs.device).expand(len(inputs), 2)
        mask = torch.ones(inputs.shape[:2], dtype=torch.int32, device=inputs.device)
        output = self.network(pixel_values=inputs, pixel_attention_mask=mask, spatial_shapes=shape)
        return first_tensor(output)

    def save(self, folder: Path) -> None:
        """Write what ``from_pretrained`` of model and image processor load."""
        network: Any = self.network
        with quiet_transformers(), disk_errors():
            network.save_pretrained(
                folder, state_dict=stored(network.state_dict(), self.storage_dtype)
            )
            self.processor.save_pretrained(folder)
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["dtype"] = str(self.storage_dtype).removeprefix("torch.")
        if self.class_names is not None:
            config["id2label"] = {str(i): name for i, name in enumerate(self.class_names)}
            config["label2id"] = {name: i for i, name in enumerate(self.class_names)}
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_processor(files: ModelFiles, trust: bool) -> Any:
    from transformers import AutoImageProcessor

    try:
        with quiet_transformers():
            return AutoImageProcessor.from_pretrained(
                files.folder, trust_remote_code=trust, local_files_only=True
            )
    except Exception as error:  # as with configs
        raise ModelError(
            f"The image processor of {files.name} cannot be read: {plain(error, 120)}.",
            "Give size, mean and std instead.",
        ) from error


def _processor_of(network: nn.Module) -> Any:
    """The image processor of the repository that a model object came from."""
    from transformers import AutoImageProcessor

    origin = getattr(network, "name_or_path", "")
    try:
        if not origin:
            raise OSError("the object does not know where it came from")
        with quiet_transformers():
            return AutoImageProcessor.from_pretrained(origin)
    except Exception as error:  # not there, no network, no processor: all mean the same
        raise ModelError(
            f"Nothing says how to prepare images for this {type(network).__name__}.",
            "Give processor=..., or size, mean and std.",
        ) from error


def _load(
    name: str, model_class: Any, config: Any, weights: Weights
) -> tuple[nn.Module, list[str]]:
    """The network with its weights, every one of them from the file."""
    try:
        with quiet_transformers(), bounded_building(name, weights.tensors):
            network, info = model_class.from_pretrained(
                None,
                config=config,
                state_dict=weights.tensors,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # told below, in one line
                output_loading_info=True,
            )
    except ModelError:
        raise
    except Exception as error:  # constructors refuse configs with exceptions of many kinds
        raise ModelError(
            f"The weights of {name} do not fit its config: {plain(error, 160)}.",
            "Use another revision, or mend the repository's config.json.",
        ) from error
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        key, found, expected = mismatched[0]
        raise ModelError(
            f"{plain(key)} of {name} has shape {tuple(found)}, and its config means "
            f"{tuple(expected)}.",
            "Use another revision, or mend the repository's config.json.",
            details="\n".join(plain(entry) for entry in mismatched),
        )
    missing = sorted(info["missing_keys"])
    if missing:
        backbone = f"{network.base_model_prefix}."
        head = all(not key.startswith(backbone) for key in missing)
        raise ModelError(
            f"{name} holds no weights for {plain(missing[0])}"
            + (f" and {len(missing) - 1} more." if len(missing) > 1 else "."),
            "It is a backbone without a classifier: fine-tune it first."
            if head
            else "Use another revision of it.",
            details="\n".join(map(plain, missing)),
        )
    unexpected = len(info["unexpected_keys"])
    notes = [f"{unexpected} tensors of the file are not used by the model"] if unexpected else []
    return network, notes


def _prepare(
    network: nn.Module, processor: Any, options: LoadOptions
) -> tuple[Any, Preprocessing, list[str]]:
    """Processor, its halves, and notes; with the options' size, mean and std in place."""
    config: Any = network.config
    vision = getattr(config, "vision_config", config)
    channels = getattr(vision, "num_channels", None) or 3
    image_size = getattr(vision, "image_size", None)
    if isinstance(image_size, list | tuple):
        image_size = image_size[0] if len(set(image_size)) == 1 else None
    if options.size is None and options.mean is None and options.std is None:
        return processor, *split_processor(processor, channels, image_size)
    shown: dict[str, Any] = {}
    if processor is not None:
        shown = split_processor(processor, channels, image_size)[0].config
    height, width = checked_size(options.height_width or shown["size"])
    try:
        mean = spread(options.mean if options.mean is not None else shown.get("mean"), channels, 0)
        std = spread(options.std if options.std is not None else shown.get("std"), channels, 1)
    except ValueError as error:
        raise ModelError(f"mean and std do not fit: {error}.") from error
    from transformers import ViTImageProcessor

    plainest = ViTImageProcessor(
        size={"height": height, "width": width}, image_mean=mean, image_std=std
    )
    return plainest, *split_processor(plainest, channels, image_size)


def _class_names(config: Any) -> list[str] | None:
    """The names in ``id2label``, unless they are the generic ones."""
    labels: dict[int, str] = config.id2label or {}
    names = [str(labels.get(index, f"LABEL_{index}")) for index in range(config.num_labels)]
    generic = all(name in (f"LABEL_{i}", str(i)) for i, name in enumerate(names))
    return None if generic else names

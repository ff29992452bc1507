"""Models of timm: Hub repositories with timm's config, local folders, model objects."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ngf_hub.adapters.base import Classifier, LoadOptions, ModelSource
from ngf_hub.adapters.building import bounded_building
from ngf_hub.adapters.module import first_tensor
from ngf_hub.adapters.preprocessing import ChannelNormalise, Preprocessing, checked_size, spread
from ngf_hub.adapters.weights import Weights, storage_dtype, write_safetensors
from ngf_hub.errors import ModelError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from ngf_hub.adapters.fetch import ModelFiles

# Arguments of timm.create_model that a repository's config has no say in.
_RESERVED = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"}
_RESERVED |= {"cache_dir", "scriptable", "exportable", "no_jit", "device", "dtype"}
# Where the weights of the registry lie and how they were stored: not so for a repository's own.
_REGISTRY_ONLY = ("url", "file", "hf_hub_id", "hf_hub_filename", "source", "custom_load")


class TimmClassifier(Classifier):
    """A model that ``timm.create_model`` makes."""

    family = "timm"
    _config: dict[str, Any] | None = None

    @classmethod
    def claims_config(cls, config: dict[str, Any]) -> bool:
        """Timm's config names an architecture; transformers' wrapper of timm says so.

        The wrapper itself hands all ``model_args`` on, also the path of a checkpoint.
        """
        kind = config.get("model_type")
        return kind == "timm_wrapper" or (kind is None and "architecture" in config)

    @classmethod
    def claims_module(cls, network: nn.Module) -> bool:  # noqa: D102
        return isinstance(getattr(_unwrap(network), "pretrained_cfg", None), dict)

    @classmethod
    def from_files(cls, files: ModelFiles, options: LoadOptions) -> Classifier:  # noqa: D102
        config = _standard_config(files)
        if (size := options.height_width) is not None:
            fixed = config["pretrained_cfg"].get("fixed_input_size")
            if fixed or "img_size" in config["model_args"]:
                config["model_args"]["img_size"] = size
        weights = files.weights()
        network = _create(files.name, config, weights)
        try:
            preprocessing = _preprocessing(network, options)
        except (TypeError, ValueError, KeyError, AttributeError, AssertionError) as error:
            raise ModelError(
                f"The pretrained_cfg of {files.name} does not make sense: {plain(error, 120)}.",
                "Mend the repository's config.json.",
            ) from error
        classifier = cls(
            network,
            preprocessing,
            class_names=options.class_names or _class_names(network),
            source=files.source(weights),
            storage_dtype=weights.storage_dtype,
        )
        classifier._config = config
        _check_head_was_stored(classifier, weights)
        return classifier

    @classmethod
    def from_module(cls, network: nn.Module, options: LoadOptions) -> Classifier:  # noqa: D102
        network = _unwrap(network)
        if getattr(network, "num_classes", None) == 0:
            raise _no_classes(_architecture(network))
        return cls(
            network,
            _preprocessing(network, options),
            class_names=options.class_names or _class_names(network),
            source=ModelSource(name=_architecture(network)),
            storage_dtype=storage_dtype(network),
        )

    @property
    def architecture(self) -> str:  # noqa: D102
        return _architecture(self.network)

    def network_logits(self, inputs: Tensor) -> Tensor:  # noqa: D102
        return first_tensor(self.network(inputs))

    def save(self, folder: Path) -> None:
        """Write what ``timm.create_model("hf-hub:...")`` and ``"local-dir:..."`` load."""
        from timm.models._hub import save_config_for_hf

        write_safetensors(
            self.network.state_dict(), folder / "model.safetensors", self.storage_dtype
        )
        path = folder / "config.json"
        if self._config is None:
            save_config_for_hf(self.network, str(path))
            config = json.loads(path.read_text(encoding="utf-8"))
        else:
            config = copy.deepcopy(self._config)
        # What was used, also where an option said otherwise than the model.
        used = self.preprocessing
        config["pretrained_cfg"].update(
            input_size=[used.channels, *used.size], mean=used.config["mean"], std=used.config["std"]
        )
        # Both were for the file that was read: what is written is what the model holds.
        config["pretrained_cfg"].update(custom_load=False)
        config["pretrained_cfg"].pop("label_offset", None)
        if self.class_names is not None:
            config["label_names"] = self.class_names
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _unwrap(network: nn.Module) -> nn.Module:
    """The timm model in transformers' wrapper of it, else the module itself."""
    inner = getattr(network, "timm_model", None)
    return inner if isinstance(inner, nn.Module) else network


def _architecture(network: nn.Module) -> str:
    config: Any = network.pretrained_cfg
    return str(config.get("architecture") or type(network).__name__)


def _standard_config(files: ModelFiles) -> dict[str, Any]:
    """A repository's config in timm's present form, checked.

    Raises:
        ModelError: It describes no image classifier that this timm can make.
    """
    import timm

    config = copy.deepcopy(files.config)
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise ModelError(
            f"{files.name} names an architecture that timm {timm.__version__} does not have: "
            f"{plain(architecture, 60)}.",
            "Upgrade timm.",
        )
    if not isinstance(config.get("pretrained_cfg"), dict):
        if config.get("model_type") == "timm_wrapper":
            config["pretrained_cfg"] = timm.get_pretrained_cfg(architecture).to_dict()
        else:  # before 2023 the config was the pretrained_cfg itself
            inner = {k: v for k, v in config.items() if k != "architecture"}
            config = {"architecture": architecture, "pretrained_cfg": inner}
            if "labels" in inner:
                config["label_names"] = inner.pop("labels")
    pretrained = config["pretrained_cfg"]
    for key in _REGISTRY_ONLY:
        pretrained.pop(key, None)
    arguments = config.get("model_args") or {}
    if not isinstance(arguments, dict):
        raise ModelError(f"The model_args of {files.name} are no JSON object.")
    config["model_args"] = {k: v for k, v in arguments.items() if k not in _RESERVED}
    classes = config.get("num_classes", pretrained.get("num_classes"))
    classes = arguments.get("num_classes", classes)
    if arguments.get("features_only") or classes == 0:
        raise _no_classes(files.name)
    if classes is not None:
        config["num_classes"] = pretrained["num_classes"] = classes
        if "num_classes" in arguments:
            config["model_args"]["num_classes"] = classes
    return config


def _no_classes(name: str) -> ModelError:
    return ModelError(
        f"{name} is a feature extractor: it has no classes.",
        "Give a model that was trained to classify.",
    )


def _create(name: str, config: dict[str, Any], weights: Weights) -> nn.Module:
    """The network with its weights, through timm's own loading with all its renaming."""
    import timm

    prefix = "timm_model."  # of transformers' wrapper
    tensors = {key.removeprefix(prefix): tensor for key, tensor in weights.tensors.items()}
    pretrained = {**config["pretrained_cfg"], "state_dict": tensors}
    for key in ("label_names", "label_descriptions"):
        if key in config:
            pretrained[key] = config[key]
    arguments = config["model_args"]
    try:
        if arguments.get("in_chans") is not None and pretrained.get("input_size"):
            pretrained["input_size"] = (arguments["in_chans"], *pretrained["input_size"][1:])
        with bounded_building(name, weights.tensors):
            network: nn.Module = timm.create_model(
                config["architecture"], pretrained=True, pretrained_cfg=pretrained, **arguments
            )
    except ModelError:
        raise
    # timm and PyTorch raise many kinds for a config or weights that do not fit.
    except Exception as error:
        raise ModelError(
            f"The weights of {name} do not fit its config: {_reason(error)}.",
            "Use another revision, or mend the repository's config.json.",
            details=plain(error, 4000),
        ) from error
    del network.pretrained_cfg["state_dict"]  # type: ignore[operator, union-attr]
    return network


def _reason(error: Exception) -> str:
    """The first thing that an error of ``load_state_dict`` or a constructor complains of."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[1] if len(lines) > 1 and lines[0].startswith("Error(s) in loading") else ""
    return plain(said or (lines[0] if lines else type(error).__name__), 160).rstrip(" .,")


def _check_head_was_stored(classifier: Classifier, weights: Weights) -> None:
    """Some families are loaded leniently, and then lack of a head would pass unseen."""
    try:
        modules = classifier.head.modules
    except ModelError:
        return
    candidates = [t for t in weights.tensors.values() if t.is_floating_point() and t.ndim > 1]
    for module, name in zip(modules, classifier.head.names, strict=True):
        weight = module.weight.detach().flatten(1)
        for tensor in candidates:
            # A file may hold further classes before those that are kept (label_offset).
            rows = tensor.flatten(1)[-len(weight) :]
            if rows.shape == weight.shape and torch.equal(rows.float(), weight):
                break
        else:
            raise ModelError(
                f"{classifier.source.name} holds no weights for its head ({name}).",
                "It is a backbone without a classifier: fine-tune it first.",
            )


def _preprocessing(network: nn.Module, options: LoadOptions) -> Preprocessing:
    """Timm's evaluation transform, without its last step."""
    from timm.data import create_transform
    from timm.data.model_config import resolve_input_data_config

    data: dict[str, Any] = resolve_input_data_config(network)
    channels, *sides = data["input_size"]
    if channels not in (1, 3):
        raise ModelError(
            f"{_architecture(network)} takes images of {channels} channels.",
            "Only grey (1) and colour (3) images can be handled.",
        )
    height, width = checked_size(options.height_width or sides)
    data["input_size"] = (channels, height, width)
    try:
        mean = spread(options.mean if options.mean is not None else data["mean"], channels, 0.0)
        std = spread(options.std if options.std is not None else data["std"], channels, 1.0)
    except ValueError as error:
        raise ModelError(f"mean and std do not fit: {error}.") from error
    data |= {"mean": tuple(mean), "std": tuple(std)}
    transform = create_transform(**data, is_training=False, normalize=False)
    shown = {key: list(v) if isinstance(v, tuple) else v for key, v in data.items()}
    return Preprocessing(
        size=(height, width),
        channels=channels,
        to_pixels=partial(_to_pixels, transform=transform, mode="L" if channels == 1 else "RGB"),
        normalise=ChannelNormalise(mean, std),
        config={"size": [height, width], **shown},
    )


def _to_pixels(image: Image, *, transform: Callable[[Image], Tensor], mode: str) -> Tensor:
    return transform(image.convert(mode))


def _class_names(network: nn.Module) -> list[str] | None:
    """The names in the config, if there is one for each class."""
    config: Any = network.pretrained_cfg
    names = config.get("label_names")
    count = getattr(network, "num_classes", None)
    if isinstance(names, dict):
        names = [names.get(str(index), names.get(index)) for index in range(count or 0)]
    if not isinstance(names, list | tuple) or len(names) != count or None in names:
        return None
    if all(str(name) == f"LABEL_{index}" for index, name in enumerate(names)):
        return None
    return [str(name) for name in names]

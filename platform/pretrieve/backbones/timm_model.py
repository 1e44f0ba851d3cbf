"""Any timm model as `timm:NAME`, behind an extra; the feature is its classifier's input."""

from __future__ import annotations

from functools import lru_cache, partial
from importlib import import_module
from typing import Any

from torch import nn

from pretrieve.backbones._base import Architecture, Family, Preprocessing, register_family
from pretrieve.backbones.parts import cut_classifier, input_length, split_at_classifier, without_memory
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.errors import BackboneError, nearest_word

PREFIX = "timm:"


def _resolve(name: str) -> Architecture | None:
    return _make(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None


@lru_cache
def _make(model: str) -> Architecture:
    timm = _timm()
    if not timm.is_model(model):
        raise BackboneError(
            f"{PREFIX}NAME must name a model that timm {timm.__version__} has, but is {PREFIX + model!r}."
            f"{nearest_word(model, timm.list_models())}"
        )
    network: Any = without_memory(partial(_whole, model))
    classifier = _classifier_name(network, model)
    # Resizing is bilinear here, whatever the model's own is.
    fields = import_module("timm.data").resolve_model_data_config(network)
    image_size = int(fields["input_size"][-1])
    resize_size = max(image_size, int(image_size / fields["crop_pct"]))
    return Architecture(
        name=PREFIX + model,
        feature_dim=input_length(network, classifier),
        preprocessing=Preprocessing(resize_size, image_size, tuple(fields["mean"]), tuple(fields["std"])),
        build=partial(cut_classifier, partial(_whole, model), classifier),
        published_weights=partial(_published_weights, model) if timm.is_model_pretrained(model) else None,
        split=partial(split_at_classifier, classifier=classifier),
        takes_any_size=not network.pretrained_cfg.get("fixed_input_size", False),
    )


def _classifier_name(network: Any, model: str) -> str:
    """Return the name of the linear layer that timm calls the model's classifier."""
    classifier = network.get_classifier()
    names: list[str] = [name for name, module in network.named_modules() if module is classifier]
    if not isinstance(classifier, nn.Linear) or len(names) != 1:
        raise BackboneError(
            f"a backbone must end in one linear layer whose input is the feature, but that of {PREFIX + model!r} is "
            f"{type(classifier).__name__}; take another network, for example {PREFIX}resnet18"
        )
    return names[0]


def _whole(model: str, *, pretrained: bool = False) -> nn.Module:
    network: nn.Module = _timm().create_model(model, pretrained=pretrained)
    return network


def _published_weights(model: str) -> StateDict:
    return _whole(model, pretrained=True).state_dict()


def _timm() -> Any:
    try:
        return import_module("timm")
    except ModuleNotFoundError as error:
        raise BackboneError(
            f"a {PREFIX}NAME backbone must have timm installed, but {error}; pip install 'pretrieve[timm]'"
        ) from error


register_family(Family(form=f"{PREFIX}NAME", resolve=_resolve))

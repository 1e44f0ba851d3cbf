"""Any timm model as `timm:NAME`, behind an extra; the feature is its classifier's input, or without one its output."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor, nn

from pretrieve.backbones._base import Architecture, Family, Preprocessing, register_family
from pretrieve.backbones.parts import BackboneParts, split_at_classifier, without_data_parallel, without_memory
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.errors import BackboneError, in_words, nearest_word

PREFIX = "timm:"
POOL = "?pool="
"""Stands between a model's name and how its feature is pooled, in timm's words; without it the model's own pooling."""

POSITIONS = "pos_embed"
"""The weights that an image size decides the shape of: a row for each patch, after those for the class token."""


def _resolve(name: str) -> Architecture | None:
    return _make(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None


@lru_cache
def _make(word: str, image_size: int | None = None) -> Architecture | None:
    """Make the architecture of `NAME` or `NAME?pool=POOL`, at its own image size or at another one.

    Returns None if other weights than the embeddings of positions depend on the image size.
    """
    timm, (model, is_pooled, pool) = _timm(), word.partition(POOL)
    if not timm.is_model(model):
        raise BackboneError(
            f"{PREFIX}NAME must name a model that timm {timm.__version__} has, but is {PREFIX + model!r}."
            f"{nearest_word(model, timm.list_models())}"
        )
    try:
        whole: Any = without_memory(partial(_whole, model))
    except RuntimeError as fault:  # the name of the weights, behind the dot
        known = timm.list_models(f"{model.partition('.')[0]}.*", include_tags=True)
        raise BackboneError(
            f"{PREFIX}NAME must name a model that timm {timm.__version__} makes, but {PREFIX + model!r} ends in: "
            f"{fault} Known weights: {', '.join(known) or 'none'}.{nearest_word(model, known)}"
        ) from fault
    classifier = _classifier_name(whole, model)
    # Resizing is bilinear here, whatever the model's own is.
    fields = import_module("timm.data").resolve_model_data_config(whole)
    own_size = int(fields["input_size"][-1])
    build = partial(_trunk, model, classifier=classifier, pool=pool if is_pooled else None, image_size=image_size)
    inspect = partial(_inspected, name=PREFIX + word, image_size=image_size or own_size)
    try:
        trunk, feature_dim = inspect(build)
    except BackboneError as fault:
        if classifier is not None and _works(partial(inspect, partial(build, classifier=None))):
            raise BackboneError(
                f"a backbone must end in its classifier, but {PREFIX + word!r} uses the output of its classifier "
                "again, as auxiliary heads do; take another network"
            ) from fault
        raise
    before, after = whole.state_dict(), trunk.state_dict()
    resample = None
    if image_size is not None:
        resized = {key for key, value in after.items() if key in before and value.shape != before[key].shape}
        resample = _resampling(whole, trunk) if resized == {POSITIONS} else None
        if resized and resample is None:
            return None
    is_fixed = whole.pretrained_cfg.get("fixed_input_size", False)
    return Architecture(
        name=PREFIX + word,
        feature_dim=feature_dim,
        preprocessing=Preprocessing(
            max(own_size, int(own_size / fields["crop_pct"])), own_size, tuple(fields["mean"]), tuple(fields["std"])
        ),
        build=build,
        published_weights=partial(_published_weights, model) if timm.is_model_pretrained(model) else None,
        split=partial(
            _split,
            classifier=classifier,
            has_own_pool=not is_pooled,
            left_out=frozenset(before.keys() - after.keys()),
            resample=resample,
        ),
        takes_any_size=not is_fixed or bool(getattr(whole, "dynamic_img_size", False)),
        at_size=partial(_make if is_fixed else _served, word),
    )


def _served(word: str, image_size: int) -> Architecture | None:
    """Return the architecture of the own image size, whose network takes others, after trying this one."""
    architecture = _make(word)
    assert architecture is not None, "of its own image size"
    _inspected(architecture.build, architecture.name, image_size)
    return architecture


def _works(inspect: Callable[[], object]) -> bool:
    try:
        inspect()
    except BackboneError:
        return False
    return True


def _classifier_name(network: Any, model: str) -> str | None:
    """Return the name of the linear layer that timm calls the model's classifier; None for a model without one."""
    classifier = network.get_classifier() if hasattr(network, "get_classifier") else None
    if isinstance(classifier, nn.Identity):  # DINO, SigLIP and others that were trained without classes
        return None
    names: list[str] = [name for name, module in network.named_modules() if module is classifier]
    if not isinstance(classifier, nn.Linear) or len(names) != 1:
        raise BackboneError(
            f"a backbone must end in one linear layer whose input is the feature, or in none, but that of "
            f"{PREFIX + model!r} is {type(classifier).__name__}; take another network, for example {PREFIX}resnet18"
        )
    return names[0]


def _whole(model: str, *, pretrained: bool = False, **options: int) -> nn.Module:
    network: nn.Module = _timm().create_model(model, pretrained=pretrained, **options)
    return network


def _trunk(model: str, classifier: str | None, pool: str | None, image_size: int | None) -> nn.Module:
    """Build a model that ends at its feature."""
    network: Any = _whole(model) if image_size is None else _whole(model, img_size=image_size)
    if pool is not None:
        # Not as an option of the constructor, which would also move a transformer's last norm behind the pooling.
        network.reset_classifier(network.num_classes, pool)
    if classifier is not None:
        parent, _, child = classifier.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())
    return cast("nn.Module", network)


def _inspected(build: Callable[[], nn.Module], name: str, image_size: int) -> tuple[nn.Module, int]:
    """Build a trunk to look at, and measure the length of its feature at an image size."""

    def measure() -> tuple[nn.Module, Any]:
        network = build().eval()
        with torch.inference_mode():
            return network, network(torch.zeros(1, 3, image_size, image_size))

    try:
        network, features = without_memory(measure)
    except Exception as fault:
        raise BackboneError(
            f"a backbone must map images to features, but {name!r} at {image_size} px ends in {in_words(fault)}; take "
            f"another image size, pooling ({POOL}avg, {POOL}token) or network"
        ) from fault
    if not isinstance(features, Tensor) or features.ndim != 2:
        got = f"of shape {tuple(features.shape)}" if isinstance(features, Tensor) else f"a {type(features).__name__}"
        raise BackboneError(
            f"a backbone must return one feature an image, (N, D), but what {name!r} returns for one image is {got}; "
            f"take another pooling ({POOL}avg, {POOL}token) or network"
        )
    return network, features.shape[1]


def _resampling(whole: Any, trunk: Any) -> Callable[[Tensor], Tensor] | None:
    """Return what fits embeddings of positions to a trunk; None where they are no rows for the patches of a grid."""
    grids: list[Any] = [getattr(getattr(each, "patch_embed", None), "grid_size", None) for each in (whole, trunk)]
    if None in grids:
        return None
    shapes = [tuple(each.pos_embed.shape) for each in (whole, trunk)]
    # The class token and others have rows too, as many at every size.
    others = {rows - math.prod(grid) for (_, rows, *_), grid in zip(shapes, grids, strict=True)}
    if len(others) != 1:
        return None
    return partial(_fitted, own_shape=shapes[0], old_size=grids[0], new_size=grids[1], num_prefix_tokens=others.pop())


def _fitted(positions: Tensor, *, own_shape: tuple[int, ...], **sizes: Any) -> Tensor:
    """Resample embeddings of positions of the own image size as timm does: bicubic, with antialiasing."""
    if tuple(positions.shape) != own_shape:
        return positions
    fitted: Tensor = import_module("timm.layers").resample_abs_pos_embed(positions, **sizes)
    return fitted


def _split(
    state: StateDict,
    *,
    classifier: str | None,
    has_own_pool: bool,
    left_out: frozenset[str],
    resample: Callable[[Tensor], Tensor] | None,
) -> BackboneParts:
    """Split a model's checkpoint; where another pooling replaces its own, leave out the classifier made for that one.

    `left_out` names weights of the model that the trunk does not have.
    """
    whole = BackboneParts(without_data_parallel(state))
    parts = whole if classifier is None else split_at_classifier(state, classifier=classifier)
    trunk = {name: value for name, value in parts.trunk.items() if name not in left_out}
    if resample is not None and POSITIONS in trunk:
        trunk[POSITIONS] = resample(trunk[POSITIONS])
    return BackboneParts(trunk, classifier=parts.classifier if has_own_pool else {})


def _published_weights(model: str) -> StateDict:
    return _whole(model, pretrained=True).state_dict()


def _timm() -> Any:
    try:
        return import_module("timm")
    except ModuleNotFoundError as error:
        raise BackboneError(
            f"a {PREFIX}NAME backbone must have timm installed, but {error}; pip install 'pretrieve[timm]'"
        ) from error


register_family(Family(form=f"{PREFIX}NAME, {PREFIX}NAME{POOL}avg", resolve=_resolve))

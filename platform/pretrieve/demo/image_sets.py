"""The demo's source and targets as image sets, registered under the names that its study file uses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PIL import features

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.image_set import ImageSet
from pretrieve.data.registry import register_target
from pretrieve.demo.recipes import RECIPE_VERSION, render_source, render_target, target_names

# FreeType draws the glyphs: another version may draw other pixels.
VERSION = f"{RECIPE_VERSION}/freetype {features.version('freetype2')}"


def make_source() -> ImageSet:
    """Render the source: 221 characters in DejaVu Sans, DejaVu Sans Mono and Computer Modern."""
    train = render_source()
    return image_set_from_arrays("characters", train.class_names, {"train": (train.images, train.labels)})


def make_target(name: str) -> ImageSet:
    """Render one target, or enlarge scikit-learn's digits."""
    rendered = {split: render_target(name, split) for split in ("train", "test")}
    splits = {split: (images.images, images.labels) for split, images in rendered.items()}
    return image_set_from_arrays(name, rendered["train"].class_names, splits)


characters = register_target("characters", version=VERSION)(make_source)

_makers: dict[str, Callable[[], ImageSet]] = {
    name: register_target(name, version=VERSION)(partial(make_target, name)) for name in target_names()
}


def __getattr__(name: str) -> Callable[[], ImageSet]:
    """Return the function of a target by the target's name, for entry points."""
    if name in _makers:
        return _makers[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Any architecture at another image size, under a name that every process resolves: `resnet18@96`."""

from __future__ import annotations

import re
from dataclasses import replace

from pretrieve.backbones._base import Architecture, Family, find_architecture, register_family
from pretrieve.errors import BackboneError

SIZED_NAME = re.compile(r"(?P<base>.+)@(?P<image_size>\d+)(?:/(?P<resize_size>\d+))?")


def at_image_size(
    architecture: Architecture, image_size: int | None = None, resize_size: int | None = None
) -> Architecture:
    """Return the architecture for images of another size; None keeps its own size, or its own ratio of the sizes.

    The network's input has a side of `image_size` pixels; before that, the shorter side is resized to `resize_size`
    pixels. The result is named `base@image_size`, or `base@image_size/resize_size` if the ratio differs. If the sizes
    are the architecture's own, the same architecture is returned. Raises BackboneError if the network is tied to its
    size, has been resized already, or `image_size` > `resize_size`.

    >>> at_image_size(find_architecture("resnet18"), 96).name, at_image_size(find_architecture("resnet18"), 96, 96).name
    ('resnet18@96', 'resnet18@96/96')
    """
    own = architecture.preprocessing
    image_size = own.image_size if image_size is None else image_size
    own_ratio = round(image_size * own.resize_size / own.image_size)
    resize_size = own_ratio if resize_size is None else resize_size
    if (image_size, resize_size) == (own.image_size, own.resize_size):
        return architecture
    if SIZED_NAME.fullmatch(architecture.name):
        raise BackboneError(f"an image size must be given once, but {architecture.name!r} has one already")
    preprocessing = replace(own, image_size=image_size, resize_size=resize_size)
    resized: Architecture | None = architecture
    if image_size != own.image_size:
        if architecture.at_size is not None:
            resized = architecture.at_size(image_size)
        elif not architecture.takes_any_size:
            resized = None
    if resized is None:
        raise BackboneError(
            f"{architecture.name!r} must see images of {own.image_size} px, because its weights are tied to that size, "
            f"but image_size is {image_size}; choose a convolutional network for other sizes"
        )
    suffix = f"@{image_size}" if resize_size == own_ratio else f"@{image_size}/{resize_size}"
    return replace(resized, name=architecture.name + suffix, preprocessing=preprocessing)


def _resolve(name: str) -> Architecture | None:
    sized = SIZED_NAME.fullmatch(name)
    if sized is None:
        return None
    resize_size = int(sized["resize_size"]) if sized["resize_size"] else None
    return at_image_size(find_architecture(sized["base"]), int(sized["image_size"]), resize_size)


register_family(Family(form="any of them as NAME@IMAGE_SIZE", resolve=_resolve))

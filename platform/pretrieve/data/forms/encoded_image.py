"""Turn images given as objects, bytes or paths into what an image table holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pretrieve.data.decode import encode_png, pillow_errors, upper_eight_bits
from pretrieve.errors import ImageSetError

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_KINDS = "a Pillow image, a uint8 array (H, W) or (H, W, 3), encoded bytes or a path"


def path_or_content(image: Any) -> tuple[str | None, bytes | None]:
    """Return (absolute path, None) for an image given as a path, and (None, encoded bytes) for any other.

    A Pillow image or a uint8 array or tensor (H, W) or (H, W, 3) becomes lossless PNG. Encoded bytes stay as they are.
    Anything else, and pixels of an unknown range, raise an ImageSetError.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        if not len(image):
            raise ImageSetError("an image must hold bytes, but has none; leave it out")
        return None, bytes(image)
    if isinstance(image, str | os.PathLike):
        if not os.fspath(image):
            raise ImageSetError("an image's path must be given, but is empty; leave it out")
        return os.path.normpath(Path(image).expanduser().absolute()), None
    if isinstance(image, Image.Image):
        return None, _png_of_picture(image)
    if hasattr(image, "__array__"):
        return None, _png_of_array(image)
    raise ImageSetError(f"an image must be {_KINDS}, but is {type(image).__name__}; convert it")


def _png_of_picture(image: Image.Image) -> bytes:
    if image.mode in ("I", "F"):
        raise ImageSetError(
            f"an image must have 8 or 16 bits a channel, but its mode is {image.mode!r}, whose range is unknown; "
            "convert it"
        )
    with pillow_errors():
        image.load()
        if image.mode.startswith("I;16"):  # PNG would lose how many bits a TIFF has, and whether 0 is white
            return encode_png(upper_eight_bits(image))
        has_alpha = image.mode in ("PA", "La", "RGBa")
        return encode_png(image if image.mode in _PNG_MODES else image.convert("RGBA" if has_alpha else "RGB"))


def _png_of_array(image: Any) -> bytes:
    dtype = str(getattr(image, "dtype", "unknown")).removeprefix("torch.")
    shape = tuple(getattr(image, "shape", ()))
    if dtype != "uint8":
        remedy = "leave out the transform that makes tensors of it" if "float" in dtype else "convert it"
        raise ImageSetError(f"an image must be {_KINDS}, but is {dtype} {shape}; {remedy}")
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
        remedy = "put its channels last" if len(shape) == 3 and shape[0] in (1, 3) else "convert it"
        raise ImageSetError(f"an image must be {_KINDS}, but its shape is {shape}; {remedy}")
    return encode_png(np.ascontiguousarray(np.asarray(image)))

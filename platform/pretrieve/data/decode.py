"""Decode encoded images to pixels of one size.

What an image file holds besides its pixels is ignored, as in torchvision's loaders, so that published weights see what
they were trained on: EXIF orientation, colour profile, transparency, and all frames of an animation but the first. The
card of a data set (`dataset_card.py`) counts them. Pillow turns a TIFF by its orientation, so that is kept. A picture
of one colour that is drawn by its transparency alone is laid on a plain ground.
"""

from __future__ import annotations

import errno
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from pretrieve.data.missing_ends import lacks_its_end
from pretrieve.errors import ImageSetError

FORMAT_OF_SUFFIX = {
    ".avif": "AVIF", ".bmp": "BMP", ".gif": "GIF", ".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".ppm": "PPM",
    ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
"""The formats that are decoded, whatever a file's suffix. Pillow has others, and starts a program for some."""

IMAGE_SUFFIXES = frozenset(FORMAT_OF_SUFFIX)

FORMATS = tuple(sorted({*FORMAT_OF_SUFFIX.values()}))

MAX_PIXELS = 178_956_970
"""The largest image that is decoded, half a gigabyte: Pillow's default, even where a user's code changes Pillow's."""

PLAUSIBLE_PIXELS, PIXELS_PER_BYTE = 2**22, 1100
"""An image of more pixels than the first must have a byte for each so many, or it is blank or its header is wrong.

PNG packs at most 1,032 bytes into one, and JPEG at most 512 pixels. Without this limit a small file takes gigabytes."""

LONGEST_STRIP = 16
"""A picture is not enlarged to more than so many times the square that is cut from it."""


def read_content(path: str, content: bytes | None) -> bytes:
    """Return the encoded bytes of one row of an image table.

    Raises:
      OSError: the file cannot be read; one that is gone is a FileNotFoundError that says what to do.
      ImageSetError: the row of a table that `path` refers to holds no image, or the file does not fit into memory.
    """
    if content is not None:
        return content
    # Late: a registered model carries this module, and no tables.
    from pretrieve.data.table_file import is_reference, read_reference

    if is_reference(path):
        return read_reference(path)
    try:
        with memory_errors():
            return Path(path).read_bytes()
    except FileNotFoundError as error:
        message = (
            "an image must stay where it is until the study is done, but is gone; put it back, or run the study again"
        )
        raise FileNotFoundError(errno.ENOENT, message, path) from error


def decode_square(content: bytes, size: int) -> NDArray[np.uint8]:
    """Decode an image, resize its shorter side to `size` > 0 pixels and crop the centre square.

    Images of 8 or 16 bits a channel are converted to 8-bit RGB; the result is (size, size, 3) uint8. Bytes that are no
    image, or a broken one, raise an ImageSetError.
    """
    image = _decode(content)
    with pillow_errors():
        return np.asarray(_centre_square(image, size), dtype=np.uint8)


def decode_whole(content: bytes, size: int) -> tuple[NDArray[np.uint8], float]:
    """Decode an image and squeeze all of it into a square of (size, size, 3) uint8 RGB, with antialiasing.

    Also returns the image's width divided by its height, which undoes the squeezing. A square image gives the pixels of
    `decode_square`, and 1. Bytes that are no image, or a broken one, raise an ImageSetError.
    """
    image = _decode(content)
    aspect = image.width / image.height
    with pillow_errors():
        if image.width < size and image.height > LONGEST_STRIP * size:  # Pillow would widen a tall strip first
            image = image.resize((image.width, size), Image.Resampling.BILINEAR)
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8), aspect


def open_image(content: bytes) -> Image.Image:
    """Read the header of an image, none of its pixels; no image, or one of too many pixels, raises an ImageSetError."""
    if not content:
        raise ImageSetError("an image must decode, but its file is empty; copy it again")
    with pillow_errors():
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    num_pixels = image.width * image.height
    if num_pixels > MAX_PIXELS:
        raise _too_large(f"is {image.width} × {image.height}")
    num_bytes = len(content) * (8 if image.mode == "1" else 1)
    if num_pixels > max(PLAUSIBLE_PIXELS, PIXELS_PER_BYTE * num_bytes):
        raise ImageSetError(
            f"an image must have a byte for each {PIXELS_PER_BYTE:,} pixels, but its header says {image.width} × "
            f"{image.height} and it has {len(content):,} bytes; copy it again"
        )
    return image


def load_pixels(image: Image.Image, content: bytes) -> None:
    """Decode the pixels of an opened image, only of its first frame; a broken one raises an ImageSetError."""
    # If other code of the process has set this, Pillow fills a truncated image with grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with pillow_errors():
        image.load()
        if not lacks_its_end(str(image.format), content):
            return
    fault = "it has no end marker" if image.format in ("JPEG", "MPO") else "zeros stand in place of its end"
    raise ImageSetError(
        f"an image must decode, but this {image.format} is truncated: {fault}, as if its copying broke off; copy it "
        "again"
    )


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings; must not be entered by several threads at a time."""
    with warnings.catch_warnings():
        # These images decode correctly: palette images with transparency, and large ones.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _decode(content: bytes) -> Image.Image:
    with quiet_pillow(), open_image(content) as opened:
        load_pixels(opened, content)
        return eight_bit_rgb(opened)


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    whole = [max(size, round(side * scale)) for side in image.size]
    corner = [(side - size) // 2 for side in whole]
    if scale > 1 and max(whole) > LONGEST_STRIP * size:
        return _enlarged_part(image, whole, corner, size)
    width, height = whole
    left, top = corner
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _enlarged_part(image: Image.Image, whole: list[int], corner: list[int], size: int) -> Image.Image:
    """Return the square at `corner` of the picture enlarged to the sides `whole`; only that square is enlarged."""
    steps = [side / enlarged for side, enlarged in zip(image.size, whole, strict=True)]
    begins = [place * step for place, step in zip(corner, steps, strict=True)]
    ends = [(place + size) * step for place, step in zip(corner, steps, strict=True)]
    # Bilinear interpolation reads one pixel beyond. Pillow has the box in single precision, too coarse for long strips.
    left, top = (max(0, math.floor(begin) - 1) for begin in begins)
    right, bottom = (min(side, math.ceil(end) + 1) for side, end in zip(image.size, ends, strict=True))
    box = (begins[0] - left, begins[1] - top, ends[0] - left, ends[1] - top)
    return image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR, box=box)


def eight_bit_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to 8-bit RGB; pixels of an unknown range raise an ImageSetError."""
    with pillow_errors():
        # Of a 16-bit grey image the upper 8 bits are kept; Pillow's own conversion makes it plain white.
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
            image = Image.fromarray(upper_eight_bits(image))
        if image.mode in ("I", "F"):
            raise ImageSetError(
                f"an image must have 8 or 16 bits a channel, but its mode is {image.mode!r}, whose range is unknown; "
                "save it with 8 bits"
            )
        rgb = image.convert("RGB")
        alpha = alpha_of(image)
        is_plain = alpha is not None and all(low == high for low, high in rgb.getextrema())  # type: ignore[misc]
        return rgb if alpha is None or not is_plain else _on_plain_ground(rgb, alpha)


def alpha_of(image: Image.Image) -> Image.Image | None:
    """Return the opacity of a decoded image's pixels, mode L; None where all are opaque."""
    if not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _on_plain_ground(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Lay a picture of one colour, drawn by its transparency alone, on white; a light colour on black."""
    low, high = alpha.getextrema()
    if low == high:
        return rgb
    ground = "black" if rgb.convert("L").getpixel((0, 0)) > 127 else "white"  # type: ignore[operator]
    return Image.composite(rgb, Image.new("RGB", rgb.size, ground), alpha)


def upper_eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Return (H, W) uint8 of a grey image of 9 to 16 bits, with 0 for black."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF, whose samples may have 12 bits
    (bits,) = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))
    grey: NDArray[np.uint8] = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    # Pillow inverts grey of fewer bits itself where 0 means white.
    return np.invert(grey) if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 else grey


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Raise an ImageSetError for whatever goes wrong with one image in Pillow."""
    try:
        with memory_errors():
            yield
    except ImageSetError:
        raise
    except UnidentifiedImageError as error:  # its own message holds an address in memory
        raise ImageSetError("an image must decode, but Pillow says: cannot identify image file") from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"Pillow says: {error}") from error
    except Exception as error:  # Pillow raises many kinds: OSError, SyntaxError, struct.error
        raise ImageSetError(f"an image must decode, but Pillow says: {error or type(error).__name__}") from error


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise an ImageSetError where the memory is too small for one image, which says nothing about the others."""
    try:
        yield
    except MemoryError as error:
        raise ImageSetError(
            "an image must fit into memory, but the machine has too little; save it smaller, or free memory"
        ) from error


def _too_large(found: str) -> ImageSetError:
    return ImageSetError(f"an image must have at most {MAX_PIXELS:,} pixels, but {found}; save it smaller")


def encode_png(image: NDArray[np.uint8] | Image.Image) -> bytes:
    """Encode a picture, or (H, W) grey or (H, W, 3) RGB uint8 pixels, as PNG, losslessly."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

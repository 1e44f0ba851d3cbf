"""Decode encoded images to pixels of one size.

What an image file holds besides its pixels is ignored, as in torchvision's loaders, so that published weights see what
they were trained on: EXIF orientation, colour profile, transparency, and all frames of an animation but the first. The
card of a data set (`dataset_card.py`) counts them.
"""

from __future__ import annotations

import errno
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from pretrieve.data.table_file import is_reference, read_reference
from pretrieve.errors import ImageSetError

START_OF_SCAN = 0xDA  # markers of a JPEG file
END_OF_IMAGE = b"\xff\xd9"
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows

MAX_PIXELS = 178_956_970
"""The largest image that is decoded, half a gigabyte: Pillow's default, even where a user's code changes Pillow's."""


def read_content(path: str, content: bytes | None) -> bytes:
    """Return the encoded bytes of one row of an image table.

    Raises:
      OSError: the file cannot be read; one that is gone is a FileNotFoundError that says what to do.
      ImageSetError: the row of a table that `path` refers to holds no image.
    """
    if content is not None:
        return content
    if is_reference(path):
        return read_reference(path)
    try:
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
    if image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        image = resized.crop((left, top, left + size, top + size))
    return np.asarray(image, dtype=np.uint8)


def decode_whole(content: bytes, size: int) -> tuple[NDArray[np.uint8], float]:
    """Decode an image and squeeze all of it into a square of (size, size, 3) uint8 RGB, with antialiasing.

    Also returns the image's width divided by its height, which undoes the squeezing. A square image gives the pixels of
    `decode_square`, and 1. Bytes that are no image, or a broken one, raise an ImageSetError.
    """
    image = _decode(content)
    squeezed = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(squeezed, dtype=np.uint8), image.width / image.height


def open_image(content: bytes) -> Image.Image:
    """Read the header of an image, none of its pixels; no image, or one of too many pixels, raises an ImageSetError."""
    if not content:
        raise ImageSetError("an image must decode, but its file is empty; copy it again")
    with _pillow_errors():
        image = Image.open(io.BytesIO(content))
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"is {image.width} × {image.height}")
    return image


def load_pixels(image: Image.Image, content: bytes) -> None:
    """Decode the pixels of an opened image, only of its first frame; a broken one raises an ImageSetError."""
    # If other code of the process has set this, Pillow fills a truncated image with grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with _pillow_errors():
        image.load()
    if image.format == "JPEG" and _lacks_end_marker(content):
        raise ImageSetError(
            "an image must decode, but this JPEG is truncated: it has no end marker, as if its copying broke off; copy "
            "it again"
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


def eight_bit_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to 8-bit RGB; pixels of an unknown range raise an ImageSetError."""
    with _pillow_errors():
        # Of a 16-bit grey image the upper 8 bits are kept; Pillow's own conversion makes it plain white.
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
            image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        if image.mode in ("I", "F"):
            raise ImageSetError(
                f"an image must have 8 or 16 bits a channel, but its mode is {image.mode!r}, whose range is unknown; "
                "save it with 8 bits"
            )
        return image.convert("RGB")


@contextmanager
def _pillow_errors() -> Iterator[None]:
    try:
        yield
    except (ImageSetError, MemoryError):
        raise
    except UnidentifiedImageError as error:  # its own message holds an address in memory
        raise ImageSetError("an image must decode, but Pillow says: cannot identify image file") from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"Pillow says: {error}") from error
    except Exception as error:  # Pillow raises many kinds: OSError, SyntaxError, struct.error
        raise ImageSetError(f"an image must decode, but Pillow says: {error or type(error).__name__}") from error


def _too_large(found: str) -> ImageSetError:
    return ImageSetError(f"an image must have at most {MAX_PIXELS:,} pixels, but {found}; save it smaller")


def encode_png(image: NDArray[np.uint8] | Image.Image) -> bytes:
    """Encode a picture, or (H, W) grey or (H, W, 3) RGB uint8 pixels, as PNG, losslessly."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _lacks_end_marker(content: bytes) -> bool:
    """Return whether a JPEG's pixels are not followed by an end marker; thumbnails in its header do not count.

    A download that broke off may leave a file of full length that ends in zeros. Decoders silently turn those into grey
    pixels. Pixel data never hold an end marker, so its absence shows that the end is missing.
    """
    return content.find(END_OF_IMAGE, _start_of_pixels(content)) < 0


def _start_of_pixels(content: bytes) -> int:
    """Return the position of the first scan, or the length of the file where it has none."""
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            position += 1  # some writers leave stray bytes between segments; decoders skip them too
            continue
        marker = content[position + 1]
        if marker == START_OF_SCAN:
            return position
        if marker == 0xFF:
            position += 1
        elif marker in STANDALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return len(content)

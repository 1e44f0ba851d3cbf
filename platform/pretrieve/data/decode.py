"""From encoded bytes to pixels of one size.

What a picture carries beside its pixels is left aside, as torchvision's loaders do, so that published weights see what
they were trained on: a camera's note to turn the picture (EXIF orientation), its colour profile, its transparency, and
all frames of an animation but the first. The card of a data set (`dataset_card.py`) counts them.
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

from pretrieve.data.parquet_reference import is_reference, read_reference
from pretrieve.errors import ImageSetError

START_OF_SCAN = 0xDA  # markers of a JPEG file
END_OF_IMAGE = b"\xff\xd9"
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that no length follows."""

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded, half a gigabyte: Pillow's own, whatever a user's code made of that."""


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
        message = "an image must stay in its place until the study is done, but is gone; put it back, or run again"
        raise FileNotFoundError(errno.ENOENT, message, path) from error


def decode_square(content: bytes, size: int) -> NDArray[np.uint8]:
    """Decode an image, resize its shorter side to `size` and crop the centre square.

    Args:
      content: an encoded image of 8 or 16 bits a channel; converted to 8-bit RGB.
      size: side of the result in pixels, > 0.

    Returns:
      (size, size, 3) uint8 RGB.

    Raises:
      ImageSetError: the bytes are no image, or a broken one.
    """
    return np.asarray(_centre_square(_decode(content), size), dtype=np.uint8)


def decode_whole(content: bytes, size: int) -> tuple[NDArray[np.uint8], float]:
    """Decode an image and squeeze all of it into a square, with antialiasing.

    Args:
      content: an encoded image of 8 or 16 bits a channel; converted to 8-bit RGB.
      size: side of the square in pixels, > 0.

    Returns:
      (size, size, 3) uint8 RGB, and the image's width divided by its height, which undoes the squeezing. A square image
      gives the pixels of `decode_square`, and 1.

    Raises:
      ImageSetError: the bytes are no image, or a broken one.
    """
    image = _decode(content)
    squeezed = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(squeezed, dtype=np.uint8), image.width / image.height


def open_image(content: bytes) -> Image.Image:
    """Read the header of an image, and nothing of its pixels.

    Raises:
      ImageSetError: the bytes are no image, or one of too many pixels.
    """
    if not content:
        raise ImageSetError("an image must decode, but its file is empty; copy it again")
    with _pillow_errors():
        image = Image.open(io.BytesIO(content))
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"is {image.width} × {image.height}")
    return image


def load_pixels(image: Image.Image, content: bytes) -> None:
    """Decode the pixels of an opened image, of its first frame alone.

    Raises:
      ImageSetError: it is broken, or breaks off.
    """
    # Set by other code of the process, it would make grey of what is missing of a truncated image.
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
    """Silence what Pillow only warns of; not made for several threads at a time."""
    with warnings.catch_warnings():
        # A palette image with transparency only warns; the picture itself is right. So does a large one.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _decode(content: bytes) -> Image.Image:
    with quiet_pillow(), open_image(content) as opened:
        load_pixels(opened, content)
        return eight_bit_rgb(opened)


def eight_bit_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to what networks see.

    Raises:
      ImageSetError: the range of its pixels is unknown.
    """
    with _pillow_errors():
        return _eight_bit(image).convert("RGB")


@contextmanager
def _pillow_errors() -> Iterator[None]:
    try:
        yield
    except (ImageSetError, MemoryError):
        raise
    except UnidentifiedImageError as error:  # its own words name an address in memory, another one each time
        raise ImageSetError("an image must decode, but Pillow says: cannot identify image file") from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"Pillow says: {error}") from error
    except Exception as error:  # Pillow raises many kinds: OSError, SyntaxError, struct.error
        raise ImageSetError(f"an image must decode, but Pillow says: {error or type(error).__name__}") from error


def _too_large(found: str) -> ImageSetError:
    return ImageSetError(f"an image must have at most {MAX_PIXELS:,} pixels, but {found}; save it smaller")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Keep the upper eight bits of a 16-bit grey image, of which Pillow's own conversion makes plain white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageSetError(
            f"an image must have 8 or 16 bits a channel, but its mode is {image.mode!r}, whose range is unknown; "
            "save it with 8 bits"
        )
    return image


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return resized.crop((left, top, left + size, top + size))


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) grey or (H, W, 3) RGB uint8 pixels as PNG, losslessly."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _lacks_end_marker(content: bytes) -> bool:
    """Tell whether a JPEG's pixels have no end marker behind them.

    Where a download broke off, its file may have its full length, zeros at its end. Those are pixels to a decoder, grey
    ones, and it tells nobody. Pixels themselves never hold an end marker, so its absence shows that the end is missing.

    Args:
      content: a JPEG file, of which thumbnails in its header do not count.
    """
    return content.find(END_OF_IMAGE, _start_of_pixels(content)) < 0


def _start_of_pixels(content: bytes) -> int:
    """Return the position of the first scan, or the end of the file where it has none."""
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            position += 1  # some writers leave stray bytes between segments, which decoders skip as well
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

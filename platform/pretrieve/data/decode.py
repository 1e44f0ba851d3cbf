"""From encoded bytes to pixels of one size."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pretrieve.errors import ImageSetError


def read_content(path: str, content: bytes | None) -> bytes:
    """Return the encoded bytes of one row of an image table.

    Raises:
      OSError: the file cannot be read.
    """
    return content if content is not None else Path(path).read_bytes()


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


def _decode(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # A palette image with transparency only warns; the picture itself is right.
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(io.BytesIO(content)) as opened:
                return _eight_bit(opened).convert("RGB")
    except (ImageSetError, MemoryError):
        raise
    except UnidentifiedImageError as error:  # its own words name an address in memory, another one each time
        raise ImageSetError("an image must decode, but Pillow says: cannot identify image file") from error
    except Exception as error:  # Pillow raises many kinds: OSError, SyntaxError, struct.error, DecompressionBombError
        raise ImageSetError(f"an image must decode, but Pillow says: {error or type(error).__name__}") from error


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

"""Read facts of single images with a pool of threads; the card of a data set counts them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import ExifTags, Image

from pretrieve.data.decode import (
    FORMAT_OF_SUFFIX,
    alpha_of,
    eight_bit_rgb,
    load_pixels,
    memory_errors,
    open_image,
    quiet_pillow,
    read_content,
)
from pretrieve.errors import ImageSetError

ROWS_AT_ONCE = 1024  # images that wait for a thread at a time

SAME_FORMATS = {"MPO": "JPEG"}
"""A JPEG with further pictures behind the first still counts as a JPEG: phones write them under its suffix."""

GREY = 128
GREY_ROWS = 8
"""A decoder fills the end of a truncated JPEG with this grey, in blocks of at least this many rows."""


@dataclass(frozen=True)
class ImageFacts:
    """One image of a set; where it does not decode, what was found before.

    Attributes:
      content_hash: of its bytes; empty where they cannot be read.
      pixel_hash: of its size and its pixels as 8-bit RGB; empty where they do not decode.
      width, height: in pixels, as a network sees it; 0 where unknown.
      mode: Pillow's, followed by ` 16-bit` where the file has 16 bits a channel.
      num_frames: of an animation or a file of several pages; only the first is used.
      is_turned: whether its EXIF data ask to turn or mirror it, which is ignored; not of a TIFF, which is turned.
      is_transparent: whether some of its pixels are not opaque.
      has_wrong_suffix: whether its suffix belongs to another format.
      ends_in_grey: whether its last rows are the grey of missing data, so that it may be truncated.
      error: why it does not decode; None where it does.
    """

    split: str
    path: str
    label: int
    num_bytes: int = 0
    content_hash: str = ""
    pixel_hash: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    file_format: str = ""
    num_frames: int = 1
    is_turned: bool = False
    is_transparent: bool = False
    has_wrong_suffix: bool = False
    ends_in_grey: bool = False
    error: str | None = None


def scan_images(
    tables: Mapping[str, pa.Table],
    rows: Mapping[str, Sequence[int]],
    *,
    num_threads: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageFacts]:
    """Read facts of the chosen rows of image tables, in the order of splits and rows.

    By default one thread a CPU reads and decodes, at most 8; `on_progress` is called with (images done, images in all).
    """
    total = sum(len(chosen) for chosen in rows.values())
    facts: list[ImageFacts] = []
    with quiet_pillow(), ThreadPoolExecutor(num_threads or min(8, os.cpu_count() or 1)) as pool:
        for split, chosen in rows.items():
            scan = partial(_scan_image, split, tables[split])
            for start in range(0, len(chosen), ROWS_AT_ONCE):
                facts += pool.map(scan, chosen[start : start + ROWS_AT_ONCE])
                on_progress(len(facts), total)
    return facts


def _scan_image(split: str, table: pa.Table, row: int) -> ImageFacts:
    path, label = table["path"][row].as_py(), table["label"][row].as_py()
    known: dict[str, object] = {}
    try:
        content = read_content(path, table["content"][row].as_py())
        known |= {"num_bytes": len(content), "content_hash": hashlib.sha256(content).hexdigest()}
        with open_image(content) as image:
            known |= _header_facts(image, path)
            load_pixels(image, content)
            known |= _pixel_facts(image, is_jpeg=known["file_format"] == "JPEG")
            known |= _later_facts(image)  # last: Pillow decodes for some, and forgets that the pixels are broken
    except ImageSetError as error:
        known["error"] = str(error)
    except OSError as error:
        known["error"] = f"an image's file must be readable, but: {error}"
    return ImageFacts(split, path, label, **known)  # type: ignore[arg-type]


def _pixel_facts(image: Image.Image, *, is_jpeg: bool) -> dict[str, object]:
    with memory_errors():
        pixels = np.asarray(eight_bit_rgb(image))
        digest = hashlib.sha256(f"{pixels.shape}".encode())
        digest.update(pixels.data)
        ends_grey = is_jpeg and len(pixels) > GREY_ROWS and bool((pixels[-GREY_ROWS:] == GREY).all())
        return {
            "pixel_hash": digest.hexdigest(),
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "is_transparent": alpha_of(image) is not None,
            "ends_in_grey": ends_grey and bool((pixels != GREY).any()),
        }


def _header_facts(image: Image.Image, path: str) -> dict[str, object]:
    found = SAME_FORMATS.get(str(image.format), str(image.format))
    raw_modes = [str(tile.args) for tile in getattr(image, "tile", [])]
    has_16_bits = image.mode.startswith("I") or any(";16" in raw for raw in raw_modes)
    return {
        "width": image.width,
        "height": image.height,
        "mode": image.mode.partition(";")[0] + (" 16-bit" if has_16_bits else ""),
        "file_format": found,
        "has_wrong_suffix": FORMAT_OF_SUFFIX.get(Path(path).suffix.lower(), found) != found,
    }


def _later_facts(image: Image.Image) -> dict[str, object]:
    facts: dict[str, object] = {}
    if image.format != "MPO":  # its further pictures are not frames, but previews and depth maps
        with suppress(Exception):  # a later frame may be broken where the first is not
            facts["num_frames"] = int(getattr(image, "n_frames", 1))
    with suppress(Exception):  # EXIF data may be malformed; the pixels do not depend on them
        facts["is_turned"] = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    return facts

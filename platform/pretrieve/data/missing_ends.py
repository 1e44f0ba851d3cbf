"""Find images whose file lost its end although a decoder makes pixels of it.

A download or a copy that broke off may leave a file of full length that ends in zeros. Decoders turn those into grey
or smeared pixels without a word.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

START_OF_SCAN = 0xDA  # markers of a JPEG file
END_OF_JPEG = b"\xff\xd9"
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows

END_OF_PNG = b"IEND"

ZEROS = bytes(16)
"""Encoders write fewer zeros than these behind the last bit of an image."""


def lacks_its_end(image_format: str, content: bytes) -> bool:
    """Return whether the end of an image is missing from its file, which Pillow has decoded as `image_format`."""
    if image_format in ("JPEG", "MPO"):
        return content.find(END_OF_JPEG, _start_of_pixels(content)) < 0
    if image_format == "WEBP":  # metadata may follow its pixels
        return _has_surplus_zeros(*_webp_pixels(content))
    if not content.endswith(ZEROS):
        return False
    return (image_format == "PNG" and END_OF_PNG not in content) or (
        image_format == "AVIF" and _zeros_are_pixels(content)
    )


def _start_of_pixels(content: bytes) -> int:
    """Return the position of a JPEG's first scan, or the length of the file where it has none.

    Pixel data never hold an end marker, so its absence from there on shows that the end is missing. A thumbnail in the
    header has an end marker of its own.
    """
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


def _webp_pixels(content: bytes) -> tuple[bytes, bytes]:
    """Return kind and data of the chunk that holds the pixels of a WebP file; nothing for an animation."""
    position = 12
    while position + 8 <= len(content):
        kind, length = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind, content[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    return b"", b""


def _has_surplus_zeros(kind: bytes, data: bytes) -> bool:
    """Return whether a WebP image ends in zeros that its pixels do not need.

    A plain area is coded as zeros, but its decoder needs each of them.
    """
    if not data.endswith(ZEROS):
        return False
    return _have_one_picture(_webp_file(kind, data), _webp_file(kind, data[: -len(ZEROS)]))


def _webp_file(kind: bytes, data: bytes) -> bytes:
    chunk = b"WEBP" + kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)
    return b"RIFF" + len(chunk).to_bytes(4, "little") + chunk


def _zeros_are_pixels(content: bytes) -> bool:
    """Return whether zeros at the end of an AVIF file decide its pixels, which the code of an AV1 image never ends in.

    Zeros of metadata, or behind the end, may become anything.
    """
    kept = content.rstrip(b"\0")
    return not _have_one_picture(content, kept + b"\xff" * (len(content) - len(kept)))


def _have_one_picture(*contents: bytes) -> bool:
    """Return whether all these bytes decode, to the same pixels."""
    try:
        pixels = [
            np.asarray(Image.open(io.BytesIO(each), formats=("AVIF", "WEBP")).convert("RGB")) for each in contents
        ]
    except MemoryError:
        raise
    except Exception:  # as Pillow raises many kinds
        return False
    return all(np.array_equal(pixels[0], other) for other in pixels[1:])

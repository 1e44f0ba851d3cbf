"""What the markers of a JPEG file tell that Pillow does not: whether the file goes on to its end."""

from __future__ import annotations

START_OF_SCAN = 0xDA
END_OF_IMAGE = b"\xff\xd9"
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that no length follows."""


def lacks_end_marker(content: bytes) -> bool:
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

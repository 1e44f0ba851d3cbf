"""Pairs of images side by side in one picture, for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pretrieve.artifacts.atomic_files import replacing
from pretrieve.errors import UserError

IMAGE_SIDE, MARGIN = 128, 8
LINE_HEIGHT, NUM_LINES, FONT_SIZE = 14, 3, 11
CARD_WIDTH = 2 * IMAGE_SIDE + 3 * MARGIN
CARD_HEIGHT = IMAGE_SIDE + NUM_LINES * LINE_HEIGHT + 2 * MARGIN
PAPER, INK = (255, 255, 255), (20, 20, 20)
MAX_PAIRS = 60


@dataclass(frozen=True)
class PairCard:
    """One pair on a contact sheet: square uint8 RGB images, the source on the left and the test image on the right.

    At most three `lines` are written below: the left image's label, the right one's, and the scores.
    """

    source: NDArray[np.uint8]
    test: NDArray[np.uint8]
    lines: tuple[str, ...]


def sheet_size(num_pairs: int, pairs_per_row: int) -> tuple[int, int]:
    """Return the width and the height of a sheet in pixels.

    >>> sheet_size(5, 2)[1] == 3 * CARD_HEIGHT
    True
    """
    return min(num_pairs, pairs_per_row) * CARD_WIDTH, -(-num_pairs // pairs_per_row) * CARD_HEIGHT


def draw_contact_sheet(cards: Sequence[PairCard], *, pairs_per_row: int = 4) -> Image.Image:
    """Draw 1 … MAX_PAIRS pairs in rows of `pairs_per_row` > 0, from left to right.

    Raises UserError if there are no pairs, or too many for one sheet.
    """
    if not 0 < len(cards) <= MAX_PAIRS:
        raise UserError(f"a contact sheet must have 1 to {MAX_PAIRS} pairs, but {len(cards)} are given; split them")
    sheet = Image.new("RGB", sheet_size(len(cards), pairs_per_row), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    for number, card in enumerate(cards):
        row, column = divmod(number, pairs_per_row)
        left, top = column * CARD_WIDTH + MARGIN, row * CARD_HEIGHT + MARGIN
        for position, pixels in enumerate((card.source, card.test)):
            picture = Image.fromarray(pixels).resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
            sheet.paste(picture, (left + position * (IMAGE_SIDE + MARGIN), top))
        for line, text in enumerate(card.lines[:NUM_LINES]):
            fitting = _shortened(text, font, CARD_WIDTH - 2 * MARGIN)
            draw.text((left, top + IMAGE_SIDE + line * LINE_HEIGHT), fitting, fill=INK, font=font)
    return sheet


def write_contact_sheets(cards: Sequence[PairCard], folder: Path, *, pairs_per_row: int = 4) -> list[Path]:
    """Write all pairs to as many sheets as needed, named pairs-00.png, pairs-01.png and so on.

    Returns the files; none if there are no pairs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for start in range(0, len(cards), MAX_PAIRS):
        path = folder / f"pairs-{start // MAX_PAIRS:02d}.png"
        with replacing(path) as temporary:
            draw_contact_sheet(cards[start : start + MAX_PAIRS], pairs_per_row=pairs_per_row).save(temporary, "PNG")
        files.append(path)
    return files


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Cut off the beginning of a text that does not fit: the end of a path is more informative."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"

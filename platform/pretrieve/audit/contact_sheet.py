"""Pairs of images side by side in one picture, for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pretrieve.artifacts.atomic_files import replacing

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


def draw_contact_sheet(cards: Sequence[PairCard], *, pairs_per_row: int = 4) -> Image.Image:
    """Draw one or more pairs in rows of `pairs_per_row` > 0, from left to right."""
    num_columns, num_rows = min(len(cards), pairs_per_row), -(-len(cards) // pairs_per_row)
    sheet = Image.new("RGB", (num_columns * CARD_WIDTH, num_rows * CARD_HEIGHT), PAPER)
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


def write_contact_sheets(cards: Sequence[PairCard], folder: Path) -> list[Path]:
    """Write all pairs to as many sheets as needed, named pairs-00.png, pairs-01.png and so on.

    Returns the files; none if there are no pairs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for start in range(0, len(cards), MAX_PAIRS):
        path = folder / f"pairs-{start // MAX_PAIRS:02d}.png"
        with replacing(path) as temporary:
            draw_contact_sheet(cards[start : start + MAX_PAIRS]).save(temporary, "PNG")
        files.append(path)
    return files


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Cut off the beginning of a text that does not fit: the end of a path is more informative."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"

"""Pictures of what a method chose: a few images of each of the first groups of a selection, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pretrieve.atomic_files import replacing
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError
from pretrieve.study.source_units import SourceUnits
from pretrieve_selection import Selection

NUM_GROUPS, NUM_IMAGES = 12, 4
IMAGE_SIDE, MARGIN, LINE_HEIGHT, FONT_SIZE = 80, 6, 16, 12
GROUPS_PER_ROW = 3
PAPER, INK = (255, 255, 255), (20, 20, 20)
MAX_NAME_LENGTH = 50

CARD_WIDTH = NUM_IMAGES * (IMAGE_SIDE + MARGIN) + 2 * MARGIN
CARD_HEIGHT = IMAGE_SIDE + LINE_HEIGHT + 2 * MARGIN


def write_selection_pictures(units: SourceUnits, selection: Selection, path: Path) -> None:
    """Write the sheet of a selection as a JPEG, unless the file shows these images already.

    Args:
      units: what it chose from.
      selection: the choice; its first NUM_GROUPS are shown, by rank, with up to NUM_IMAGES images each.
      path: of the file. What it shows is told in it, so that a study run again decodes nothing.

    Raises:
      OSError: the file cannot be written.
    """
    groups = list(selection.groups[:NUM_GROUPS])
    identity = f"{units.identity(groups)} {groups}".encode()
    if path.exists() and _shown(path) == identity:
        return
    with replacing(path) as temporary:
        _draw(units, groups).save(temporary, "JPEG", quality=85, comment=identity)


def _shown(path: Path) -> bytes:
    with Image.open(path) as image:
        return bytes(image.info.get("comment", b""))


def _draw(units: SourceUnits, groups: Sequence[int]) -> Image.Image:
    num_rows = -(-len(groups) // GROUPS_PER_ROW)
    sheet = Image.new("RGB", (GROUPS_PER_ROW * CARD_WIDTH, num_rows * CARD_HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for place, group in enumerate(groups):
        row, column = divmod(place, GROUPS_PER_ROW)
        left, top = column * CARD_WIDTH + MARGIN, row * CARD_HEIGHT + MARGIN
        draw.text((left, top), f"{place + 1}. {units.name(group)}"[:MAX_NAME_LENGTH], fill=INK, font=font)
        for number, picture in enumerate(_pictures(units, group)):
            sheet.paste(picture, (left + number * (IMAGE_SIDE + MARGIN), top + LINE_HEIGHT))
    return sheet


def _pictures(units: SourceUnits, group: int) -> list[Image.Image]:
    """Decode the first images of a group; one that does not decode is none to show."""
    rows = units.rows([group])[:NUM_IMAGES]
    table = units.source.splits["train"].take(rows)
    pictures = []
    for path, content in zip(table["path"].to_pylist(), table["content"].to_pylist(), strict=True):
        try:
            pictures.append(Image.fromarray(decode_square(read_content(path, content), IMAGE_SIDE)))
        except (ImageSetError, OSError):
            continue
    return pictures

"""Pictures of a selection: a sheet with a few images of each of its first groups."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from pretrieve.artifacts.atomic_files import replacing
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError
from pretrieve.stages.source_units import SourceUnits
from pretrieve_selection import Selection

NUM_GROUPS, NUM_IMAGES = 12, 4
IMAGE_SIDE, MARGIN, LINE_HEIGHT, FONT_SIZE = 80, 6, 16, 12
GROUPS_PER_ROW = 3
PAPER, INK = (255, 255, 255), (20, 20, 20)
MAX_NAME_LENGTH = 50
LAYOUT = 1
"""Increase it when the layout of the sheet changes, so that older ones are drawn again."""

NUM_THUMBNAIL_IMAGES, THUMBNAIL_SIDE = 3, 32

CARD_WIDTH = NUM_IMAGES * (IMAGE_SIDE + MARGIN) + 2 * MARGIN
CARD_HEIGHT = IMAGE_SIDE + LINE_HEIGHT + 2 * MARGIN


def write_selection_pictures(units: SourceUnits, selection: Selection, path: Path) -> None:
    """Write the sheet of a selection as a JPEG, unless the file shows these images already.

    It shows the first NUM_GROUPS groups by rank, with up to NUM_IMAGES images each. The file's comment says what it
    shows. So a study that runs again decodes no image of the source, unless none of a group's images could be decoded.
    """
    groups = list(selection.groups[:NUM_GROUPS])
    identity = f"{LAYOUT} {units.identity(groups)} {groups}"
    if _description(path).get("of") == identity:
        return
    sheet, num_pictures = _draw(units, groups)
    # A file may be unreachable for a moment: a sheet that lacks a group's images is drawn again next time.
    description = {"of": None if 0 in num_pictures else identity, "num_pictures": num_pictures}
    with replacing(path) as temporary:
        sheet.save(temporary, "JPEG", quality=85, comment=json.dumps(description).encode())


def read_thumbnails(path: Path) -> list[str]:
    """Cut small pictures of each group out of a sheet, for a page that shows many selections.

    It returns one for each group, in the sheet's order: a JPEG of up to NUM_THUMBNAIL_IMAGES images side by side, each
    THUMBNAIL_SIDE wide and high, as base64 text; empty where none of the group's images decodes.
    """
    with Image.open(path) as sheet:
        return [
            _thumbnail(sheet, index, min(number, NUM_THUMBNAIL_IMAGES))
            for index, number in enumerate(_description(path)["num_pictures"])
        ]


def _thumbnail(sheet: Image.Image, index: int, num_images: int) -> str:
    if num_images == 0:
        return ""
    strip = Image.new("RGB", (num_images * THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    left, top = _corner(index)
    for number in range(num_images):
        start = left + number * (IMAGE_SIDE + MARGIN)
        picture = sheet.crop((start, top + LINE_HEIGHT, start + IMAGE_SIDE, top + LINE_HEIGHT + IMAGE_SIDE))
        strip.paste(picture.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE)), (number * THUMBNAIL_SIDE, 0))
    content = io.BytesIO()
    strip.save(content, "JPEG", quality=70, optimize=True)
    return base64.b64encode(content.getvalue()).decode("ascii")


def _description(path: Path) -> dict[str, Any]:
    """Read the comment of a sheet; an empty mapping where there is no whole sheet."""
    try:
        with Image.open(path) as sheet:
            sheet.load()
            description = json.loads(sheet.info.get("comment", b"{}"))
    except (OSError, ValueError):
        return {}
    return description if isinstance(description, dict) else {}


def _corner(index: int) -> tuple[int, int]:
    """Return where the card of a group begins, as (left, top)."""
    row, column = divmod(index, GROUPS_PER_ROW)
    return column * CARD_WIDTH + MARGIN, row * CARD_HEIGHT + MARGIN


def _draw(units: SourceUnits, groups: Sequence[int]) -> tuple[Image.Image, list[int]]:
    """Draw a sheet, and count the pictures of each group."""
    num_rows = -(-len(groups) // GROUPS_PER_ROW)
    sheet = Image.new("RGB", (GROUPS_PER_ROW * CARD_WIDTH, num_rows * CARD_HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    num_pictures = []
    for index, group in enumerate(groups):
        left, top = _corner(index)
        draw.text((left, top), f"{index + 1}. {units.name(group)}"[:MAX_NAME_LENGTH], fill=INK, font=font)
        pictures = _pictures(units, group)
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (left + number * (IMAGE_SIDE + MARGIN), top + LINE_HEIGHT))
        num_pictures.append(len(pictures))
    return sheet, num_pictures


def _pictures(units: SourceUnits, group: int) -> list[Image.Image]:
    """Decode the first images of a group; leave out those that do not decode."""
    rows = units.rows([group])[:NUM_IMAGES]
    table = units.source.splits["train"].take(rows)
    pictures = []
    for path, content in zip(table["path"].to_pylist(), table["content"].to_pylist(), strict=True):
        try:
            pictures.append(Image.fromarray(decode_square(read_content(path, content), IMAGE_SIDE)))
        except (ImageSetError, OSError):
            continue
    return pictures

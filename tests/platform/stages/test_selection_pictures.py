"""The sheet of a selection's groups."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrieve.data.decode import encode_png
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_of_contents
from pretrieve.stages.selection_pictures import (
    CARD_HEIGHT,
    CARD_WIDTH,
    IMAGE_SIDE,
    LINE_HEIGHT,
    MARGIN,
    NUM_THUMBNAIL_IMAGES,
    THUMBNAIL_SIDE,
    read_thumbnails,
    write_selection_pictures,
)
from pretrieve.stages.source_units import ClassUnits
from pretrieve_selection import Selection

GREYS = (40, 120, 200, 250)
"""Class k shows the grey GREYS[k]."""


@pytest.fixture
def units() -> ClassUnits:
    """Four classes of two images each; the second image of class 3 is no image."""
    contents = [encode_png(np.full((30, 20, 3), GREYS[label], dtype=np.uint8)) for label in (0, 0, 1, 1, 2, 2, 3)]
    table = table_of_contents([str(row) for row in range(8)], [*contents, b"no image"], [0, 0, 1, 1, 2, 2, 3, 3])
    return ClassUnits(ImageSet("pool", tuple("abcd"), {"train": table}, {"train": "f"}), "classes")


def chosen(*groups: int) -> Selection:
    return Selection("uot", groups, np.zeros(4), None, True, 0)


def grey_at(path: Path, card: int, number: int) -> int:
    """Return the grey in the middle of an image of a card."""
    with Image.open(path) as sheet:
        left = card % 3 * CARD_WIDTH + MARGIN + number * (IMAGE_SIDE + MARGIN) + IMAGE_SIDE // 2
        top = card // 3 * CARD_HEIGHT + MARGIN + LINE_HEIGHT + IMAGE_SIDE // 2
        return int(np.asarray(sheet.convert("L"))[top, left])


def test_groups_stand_by_rank_with_their_images(units: ClassUnits, tmp_path: Path) -> None:
    path = tmp_path / "uot.jpg"
    write_selection_pictures(units, chosen(2, 0, 3, 1), path)
    firsts = [grey_at(path, card, 0) for card in range(4)]
    assert firsts == pytest.approx([GREYS[2], GREYS[0], GREYS[3], GREYS[1]], abs=3)
    assert grey_at(path, 0, 1) == pytest.approx(GREYS[2], abs=3)
    assert grey_at(path, 2, 1) == 255, "an image that does not decode is not shown"


def test_a_sheet_is_drawn_again_only_where_the_choice_differs(units: ClassUnits, tmp_path: Path) -> None:
    path = tmp_path / "uot.jpg"
    write_selection_pictures(units, chosen(2, 0), path)
    written = path.stat().st_mtime_ns
    write_selection_pictures(units, chosen(2, 0), path)
    assert path.stat().st_mtime_ns == written
    write_selection_pictures(units, chosen(0, 2), path)
    assert grey_at(path, 0, 0) == pytest.approx(GREYS[0], abs=3)
    write_selection_pictures(units.without([0]), chosen(0, 2), path)
    assert grey_at(path, 0, 1) == 255, "an image that is left out is not shown"


def test_thumbnails_show_the_groups_in_the_sheets_order(units: ClassUnits, tmp_path: Path) -> None:
    path = tmp_path / "uot.jpg"
    write_selection_pictures(units, chosen(3, 0), path)
    shown = []
    for thumbnail in read_thumbnails(path):
        with Image.open(io.BytesIO(base64.b64decode(thumbnail))) as image:
            shown.append((image.size, int(np.asarray(image.convert("L")).mean())))
    assert [size for size, _ in shown] == [(THUMBNAIL_SIDE, THUMBNAIL_SIDE), (2 * THUMBNAIL_SIDE, THUMBNAIL_SIDE)]
    assert [grey for _, grey in shown] == pytest.approx([GREYS[3], GREYS[0]], abs=3)
    assert NUM_THUMBNAIL_IMAGES >= 2


def test_a_group_without_an_image_that_decodes_has_no_thumbnail(units: ClassUnits, tmp_path: Path) -> None:
    path = tmp_path / "uot.jpg"
    write_selection_pictures(units.without([6]), chosen(3, 1), path)
    first, second = read_thumbnails(path)
    assert first == ""
    assert second


def test_a_sheet_that_was_cut_off_is_drawn_again(units: ClassUnits, tmp_path: Path) -> None:
    path = tmp_path / "uot.jpg"
    write_selection_pictures(units, chosen(2, 0), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    write_selection_pictures(units, chosen(2, 0), path)
    assert path.read_bytes() == whole

import numpy as np
import pytest
from PIL import Image

from pretrieve.audit.contact_sheet import (
    CARD_HEIGHT,
    CARD_WIDTH,
    IMAGE_SIDE,
    MARGIN,
    MAX_PAIRS,
    PAPER,
    PairCard,
    draw_contact_sheet,
    write_contact_sheets,
)


@pytest.fixture
def card():
    red, blue = (np.full((64, 64, 3), colour, dtype=np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    return PairCard(red, blue, ("source/a.png", "test/" + "long/" * 40 + "b.png", "0.97 cropped"))


@pytest.mark.parametrize(("number", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 3, 2), (7, 3, 3)])
def test_sheet_is_as_large_as_its_pairs_need(card, number, columns, rows):
    sheet = draw_contact_sheet([card] * number, pairs_per_row=3)
    assert sheet.size == (columns * CARD_WIDTH, rows * CARD_HEIGHT)


def test_pair_stands_side_by_side_with_its_words_below_and_none_beyond_the_card(card):
    pixels = np.asarray(draw_contact_sheet([card, card], pairs_per_row=2))
    middle = MARGIN + IMAGE_SIDE // 2
    assert pixels[middle, middle].tolist() == [255, 0, 0]
    assert pixels[middle, middle + IMAGE_SIDE + MARGIN].tolist() == [0, 0, 255]
    words = pixels[MARGIN + IMAGE_SIDE :, :CARD_WIDTH]
    assert (words < 100).all(axis=2).sum() > 200
    assert (words[:, -MARGIN // 2 :] == PAPER).all()


def test_pairs_go_to_as_many_files_as_they_need(card, tmp_path):
    files = write_contact_sheets([card] * (MAX_PAIRS + 1), tmp_path / "sheets")
    assert [file.name for file in files] == ["pairs-00.png", "pairs-01.png"]
    with Image.open(files[1]) as sheet:
        assert sheet.size == (CARD_WIDTH, CARD_HEIGHT)
    assert write_contact_sheets([], tmp_path / "sheets") == []

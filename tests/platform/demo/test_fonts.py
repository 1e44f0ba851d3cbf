import numpy as np
import pytest

from pretrieve.demo.fonts import HELD_OUT_FONTS, SOURCE_FONTS, Font, draw_glyph, fonts_that_draw
from pretrieve.errors import ImageSetError

SANS = Font("DejaVuSans.ttf")


def _edges(ink):
    return (int(np.flatnonzero(ink)[0]), int(np.flatnonzero(ink)[-1]))


def test_held_out_fonts_share_no_file_and_no_family_with_the_source():
    source = {font.file_name for font in SOURCE_FONTS}
    held_out = {font.file_name for font in HELD_OUT_FONTS}
    assert not source & held_out
    assert not any(name.startswith(("DejaVuSerif", "STIX")) for name in source)
    assert all(name.startswith(("DejaVuSerif", "STIX")) for name in held_out)


@pytest.mark.parametrize("font", SOURCE_FONTS + HELD_OUT_FONTS, ids=lambda font: font.file_name)
def test_every_font_is_installed_and_draws_latin(font):
    assert font.path.is_file()
    assert font.draws("A")


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u2003", "\u200b"])
def test_a_character_without_ink_is_not_drawn(blank):
    assert not SANS.draws(blank)


def test_a_glyph_that_the_font_lacks_is_not_drawn():
    assert SANS.draws("א")
    assert not Font("DejaVuSerif.ttf").draws("א")
    assert not Font("STIXGeneral.ttf").draws("\U0001f600")


def test_computer_modern_is_used_for_nothing_but_ascii_letters_and_digits():
    computer_modern = [font for font in SOURCE_FONTS if font.file_name.startswith("cm")]
    assert len(computer_modern) == 5
    for font in computer_modern:
        drawn = {chr(point) for point in range(0x20, 0x250) if font.draws(chr(point))}
        assert drawn == {chr(point) for point in range(128) if chr(point).isalnum()}


def test_only_the_fonts_that_have_the_glyph_are_kept_in_their_order():
    usable = fonts_that_draw("ⴳ", SOURCE_FONTS)
    assert [font.file_name for font in usable] == ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"]


def test_a_character_in_no_font_is_refused_with_its_code_point():
    with pytest.raises(ImageSetError, match=r"U\+05D0 is in none of DejaVuSerif\.ttf"):
        fonts_that_draw("א", (Font("DejaVuSerif.ttf"),))


@pytest.mark.parametrize("character", ["A", "g", "→", "∼", "⊥", "ј"])
@pytest.mark.parametrize("font", [SANS, Font("STIXGeneral.ttf")], ids=lambda font: font.file_name)
def test_a_glyph_is_centred_by_its_ink_and_has_the_size_asked_for(font, character):
    glyph = draw_glyph(font, character, canvas_size=128, longest_side=72)
    assert glyph.shape == (128, 128)
    assert glyph.dtype == np.uint8
    top, bottom = _edges(glyph.any(axis=1))
    left, right = _edges(glyph.any(axis=0))
    assert max(bottom - top, right - left) + 1 == pytest.approx(72, abs=3)
    assert (top + bottom) / 2 == pytest.approx(63.5, abs=1)
    assert (left + right) / 2 == pytest.approx(63.5, abs=1)

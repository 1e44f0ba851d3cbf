"""The TrueType fonts that matplotlib ships: some are for the source, others are held out for the targets."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pretrieve.errors import ImageSetError

_MEASURING_SIZE = 100.0
_ASCII_LETTERS_AND_DIGITS = frozenset(string.ascii_letters + string.digits)


@dataclass(frozen=True)
class Font:
    """A font file in matplotlib's `fonts/ttf` folder, and which of its characters can be trusted.

    Args:
      trusted_characters: where given, the only characters the font is used for. Computer Modern's charmaps map most
        punctuation to some other glyph (TeX's own encoding); only its letters and digits are right.
    """

    file_name: str
    trusted_characters: frozenset[str] | None = None

    @property
    def path(self) -> Path:
        return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / self.file_name

    def draws(self, character: str) -> bool:
        """Return whether the font has a glyph with ink for the character, one code point.

        >>> Font("DejaVuSans.ttf").draws("ж"), Font("cmr10.ttf", frozenset("abc")).draws("<")
        (True, False)
        >>> Font("DejaVuSans.ttf").draws(" ")
        False
        """
        if self.trusted_characters is not None and character not in self.trusted_characters:
            return False
        # Index 0 is the font's box for a missing glyph.
        return _charmap(self.path).get(ord(character), 0) != 0 and _has_ink(self.path, character)


def _family(*file_names: str, trusted_characters: frozenset[str] | None = None) -> tuple[Font, ...]:
    return tuple(Font(f"{file_name}.ttf", trusted_characters) for file_name in file_names)


# LastResort is in neither list: it draws a box for every code point.
SOURCE_FONTS: tuple[Font, ...] = (
    *_family("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *_family("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *_family("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10", trusted_characters=_ASCII_LETTERS_AND_DIGITS),
)
HELD_OUT_FONTS: tuple[Font, ...] = (
    *_family("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *_family("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)


def fonts_that_draw(character: str, fonts: tuple[Font, ...]) -> tuple[Font, ...]:
    """Return the fonts that have a glyph for the character; raise an ImageSetError where there is none."""
    usable = tuple(font for font in fonts if font.draws(character))
    if not usable:
        names = ", ".join(font.file_name for font in fonts) or "no font"
        raise ImageSetError(
            f"a character must be in one of its fonts, but U+{ord(character):04X} is in none of {names};"
            " leave the character out or add a font that has it"
        )
    return usable


def draw_glyph(font: Font, character: str, *, canvas_size: int, longest_side: float) -> NDArray[np.uint8]:
    """Draw one glyph on a square canvas, centred by its ink: (canvas_size, canvas_size) uint8, 0 paper, 255 ink.

    The longer side of the ink becomes `longest_side` pixels, less than `canvas_size`.
    """
    measured = _draw_ink(font.path, _MEASURING_SIZE, character)
    ink = _draw_ink(font.path, _MEASURING_SIZE * longest_side / max(measured.size), character)
    canvas = Image.new("L", (canvas_size, canvas_size))
    canvas.paste(ink, ((canvas_size - ink.width) // 2, (canvas_size - ink.height) // 2))
    return np.asarray(canvas)


def _draw_ink(path: Path, size: float, character: str) -> Image.Image:
    """Draw the glyph and crop it to its ink; an empty glyph gives a picture without pixels."""
    # Other layout engines need a library that not every machine has, and could move pixels.
    face = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    left, top, right, bottom = (int(edge) for edge in face.getbbox(character))
    picture = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(picture).text((-left, -top), character, fill=255, font=face)
    # The font's own box spans the advance width, which would shrink arrows and move slanted letters off centre.
    return picture.crop(picture.getbbox() or (0, 0, 0, 0))


@functools.cache
def _charmap(path: Path) -> dict[int, int]:
    return dict(FT2Font(str(path)).get_charmap())


@functools.cache
def _has_ink(path: Path, character: str) -> bool:
    return max(_draw_ink(path, _MEASURING_SIZE, character).size) > 0

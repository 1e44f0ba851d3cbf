"""The image sets of the built-in study: one source of many characters and eight small targets.

The targets differ from the source as real ones do. All are in fonts that the source does not use. Some share characters
with it (`greek`, `symbols`), some only strokes (`armenian`), and one is handwriting.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from pretrieve.demo.characters import render_characters
from pretrieve.demo.fonts import HELD_OUT_FONTS, SOURCE_FONTS, Font
from pretrieve.errors import ImageSetError, nearest_word

RECIPE_VERSION = 1
"""Part of the images' cache key: raise it whenever a pixel, a label or a name changes."""

IMAGE_SIZE = 32
DIGITS = "digits"

Split = Literal["train", "test"]

_SOURCE_SCRIPTS = (
    # All glyphs have one size, so small letters that look like capitals are left out; so are letters that look like
    # those of another script.
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ" "abdefghijklmnqrtuy" "0123456789"
    "αβγδεζηθλμξπρσφψω" "ΓΣ" "БДЖИЛФЦЧШЩЫЭЮЯ"
    "אבגדהזחטילמנעפצקרשת" "ᒉᒋᒍᓀᓂᓄᓇᓭᓯᓱᔦᔨᔪᕃᕆᕈᕓᕕᕗᕙ" "ກຂຄງຈຊຍດຕຖທບປຜຝພຟມ" "ⴳⴼⴽⵃⵄⵇⵎⵖⵞⵟⵢⵣⵥ"
)  # fmt: skip
_SOURCE_SYMBOLS = "←↑→↓↔↕↖↗↘↙↩↪↺⇐⇒⇔±×÷∀∂∃∅∇∈∏√∞∧∩∫≈≠≡≤⊂⊃⊕⊗⊥■□▲△▼◆◇○●◐☀☂☃★☆☎♀♂♠♣♥♦♪♫"


@dataclass(frozen=True)
class CharacterSetRecipe:
    """What an image set is made of.

    Args:
      characters: one code point each; the position is the label.
      fonts: candidates; each character uses those that have it.
      num_train, num_test: images per class.
      seed: of the train images; the test images have the next one.
    """

    characters: tuple[str, ...]
    fonts: tuple[Font, ...]
    num_train: int
    num_test: int
    seed: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels; they differ in more than case and are safe as folder names.

        >>> from dataclasses import replace
        >>> replace(source_recipe(), characters=("A", "←")).class_names
        ('latin capital letter a', 'leftwards arrow')
        """
        return tuple(unicodedata.name(character).lower() for character in self.characters)


@dataclass(frozen=True)
class RenderedImages:
    """One split: images (N, 32, 32) uint8 grey, and labels (N,) int64, ascending positions in the K class names."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]


def source_recipe() -> CharacterSetRecipe:
    """Return the recipe of the source: over 200 characters of nine scripts, and symbols."""
    characters = tuple(_SOURCE_SCRIPTS + _SOURCE_SYMBOLS)
    return CharacterSetRecipe(characters, SOURCE_FONTS, num_train=100, num_test=10, seed=0)


def target_recipes() -> dict[str, CharacterSetRecipe]:
    """Return the recipes of the rendered targets by name; the eighth target, `digits`, is scanned handwriting."""
    characters = {
        "accented": "àáâãäåçèéêëìíîïñòóôõöøùúûüýÿ",
        "greek": "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        "cyrillic": "абвгдежзиклмнптуфхцчшщъыьэюя",
        "armenian": "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփք",
        "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
        "blackletter": "𝖆𝖇𝖈𝖉𝖊𝖋𝖌𝖍𝖎𝖏𝖐𝖑𝖒𝖓𝖔𝖕𝖖𝖗𝖘𝖙𝖚𝖛𝖜𝖝𝖞𝖟",
        "symbols": "←↑→↓↔↕↖↗⇐⇒⇔↦↠⇀⇄⇑±×÷∂∈∏√∞∩∪∫≈≠≤∉∋∑∝∼≥",
    }
    return {
        name: CharacterSetRecipe(tuple(drawn), HELD_OUT_FONTS, num_train=10, num_test=30, seed=100 + 2 * number)
        for number, (name, drawn) in enumerate(characters.items())
    }


def target_names() -> tuple[str, ...]:
    """Return the names of the eight targets."""
    return (DIGITS, *target_recipes())


def render_source(split: Split = "train") -> RenderedImages:
    """Render the source; its test split only measures the pre-trained network."""
    return render(source_recipe(), split)


def render_target(name: str, split: Split) -> RenderedImages:
    """Render one of the eight targets; an unknown name raises an ImageSetError.

    Train has 10 images a class and test 30; the test split of the digits has all others.
    """
    if name == DIGITS:
        return _handwritten_digits(split)
    if name not in target_recipes():
        raise ImageSetError(
            f"a target of the demo must be one of {', '.join(target_names())}, but is {name!r}; "
            f"choose one of them.{nearest_word(name, target_names())}"
        )
    return render(target_recipes()[name], split)


def render(recipe: CharacterSetRecipe, split: Split) -> RenderedImages:
    """Render one split of a recipe; a change in the number of images keeps those that both have.

    >>> from dataclasses import replace
    >>> render(replace(source_recipe(), characters=("A", "←"), num_train=3), "train").labels.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    images, labels = render_characters(
        recipe.characters,
        recipe.fonts,
        num_images_per_class=recipe.num_train if split == "train" else recipe.num_test,
        image_size=IMAGE_SIZE,
        seed=recipe.seed if split == "train" else recipe.seed + 1,
    )
    return RenderedImages(images, labels, recipe.class_names)


def _handwritten_digits(split: Split) -> RenderedImages:
    """Enlarge scikit-learn's 8 × 8 scans; a seeded choice of 10 in each class is for training."""
    scans, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in range(10)]
    chosen = np.concatenate([rows[:10] if split == "train" else rows[10:] for rows in shuffled])
    grey = np.rint(scans.reshape(-1, 8, 8)[chosen] * (255 / 16)).astype(np.uint8)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    images = [np.asarray(Image.fromarray(scan).resize(size, Image.Resampling.BICUBIC)) for scan in grey]
    names = tuple(f"digit {label}" for label in range(10))
    return RenderedImages(np.stack(images), labels[chosen].astype(np.int64), names)

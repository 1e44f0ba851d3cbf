"""The card of a cached entry: what it holds, and the check that its files are what was written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pretrieve.artifacts.sealed_files import SealedFile, read_sealed_json, write_sealed_json

CARD, IMAGES, LABELS, ASPECTS = "card.json", "images.npy", "labels.npy", "aspects.npy"

Layout = Literal["square", "whole"]
"""How an image fills its cached square: `square` keeps the centre square, `whole` squeezes the whole image into it."""


@dataclass(frozen=True)
class CachedCard:
    """What a finished entry, or a finished part of one, holds.

    Attributes:
      num_images: images that decoded.
      layout: how they fill their squares.
      size: side of the squares in pixels.
      broken: "path: reason" for each image that did not decode.
      broken_rows: where they are in the image table of the entry, or of the part, counted from 0.
      parts: folders inside an entry's folder, in the order of their rows; empty for a part.
    """

    num_images: int
    layout: Layout
    size: int
    broken: tuple[str, ...]
    parts: tuple[str, ...] = ()
    broken_rows: tuple[int, ...] = ()

    @property
    def num_bytes(self) -> int:
        return 3 * self.size**2 * self.num_images


def write_card(folder: Path, card: CachedCard) -> None:
    """Write a card into its folder, atomically. The card marks the folder as finished."""
    write_sealed_json(folder / CARD, asdict(card))


def read_card(folder: Path) -> CachedCard:
    """Read the card of a finished entry, or of a finished part of one.

    Raises:
      FileNotFoundError: the folder is not finished, or an earlier version, which kept no rows, left broken images out.
      DamagedArtifactError: the card is not what `write_card` wrote.
    """
    fields = read_sealed_json(folder / CARD)
    lists = {name: tuple(fields.get(name, ())) for name in ("broken", "parts", "broken_rows")}
    if len(lists["broken"]) != len(lists["broken_rows"]):
        raise FileNotFoundError(f"the card of {folder} does not say which rows are left out")
    return CachedCard(**{**fields, **lists})


def verify_entry(folder: Path, *, pixels: bool = False) -> CachedCard:
    """Check that the files of an entry, or of a part of one, are what was written, and return its card.

    `pixels` compares the pixels with their digests as well (about 0.7 seconds per GB); otherwise each image is compared
    when it is read.

    Raises:
      FileNotFoundError: it is not finished, or a file is absent.
      DamagedArtifactError: a file does not hold what was written.
    """
    card = read_card(folder)
    for part in card.parts or (".",):
        for name in (IMAGES, LABELS, ASPECTS):
            file = SealedFile(folder / part / name)
            if pixels or name != IMAGES:
                file.view()
    return card

"""The card of a cached entry: what it holds, and how long and what its files must be."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pretrieve.atomic_files import read_json, write_json
from pretrieve.errors import UserError

CARD = "card.json"

CHECKSUM_CHUNK_BYTES = 1024**2

Layout = Literal["square", "whole"]
"""How an image fills its cached square: `square` keeps the centre square, `whole` squeezes the whole image into it."""


class DamagedEntryError(UserError):
    """Cached images that are not what was written; the message names the file and the remedy."""


@dataclass(frozen=True)
class CachedFile:
    """A file of an entry as it was written.

    Attributes:
      name: path inside the folder of the card.
      num_bytes: its size.
      crc32: checksum of its bytes.
    """

    name: str
    num_bytes: int
    crc32: int


@dataclass(frozen=True)
class CachedCard:
    """What a finished entry, or a finished part of one, holds.

    Attributes:
      num_images: images that decoded.
      layout: how they fill their squares.
      size: side of the squares in pixels.
      broken: "path: reason" for each image that did not decode.
      parts: folders inside an entry's folder, in the order of their rows; none inside a part's.
      files: every file of the entry or the part.
    """

    num_images: int
    layout: Layout
    size: int
    broken: tuple[str, ...]
    parts: tuple[str, ...]
    files: tuple[CachedFile, ...]


def joined_card(parts: Mapping[str, CachedCard]) -> CachedCard:
    """Describe parts, at least one, as one entry.

    Args:
      parts: the cards of the parts by their folders' names, in the order of their rows.
    """
    cards = tuple(parts.values())
    return CachedCard(
        num_images=sum(card.num_images for card in cards),
        layout=cards[0].layout,
        size=cards[0].size,
        broken=tuple(reason for card in cards for reason in card.broken),
        parts=tuple(parts),
        files=tuple(replace(file, name=f"{part}/{file.name}") for part, card in parts.items() for file in card.files),
    )


def describe_file(path: Path) -> CachedFile:
    """Measure and sum a file that was just written."""
    return CachedFile(name=path.name, num_bytes=path.stat().st_size, crc32=checksum(path))


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file's bytes: it finds what a disk or a network damages, not what someone forges."""
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(CHECKSUM_CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc


def write_card(folder: Path, card: CachedCard) -> None:
    """Write a card into its folder, atomically: with it the folder counts as finished."""
    write_json(folder / CARD, asdict(card))


def read_card(folder: Path) -> CachedCard | None:
    """Read the card of an entry's folder; None where the entry is not finished.

    Raises:
      DamagedEntryError: the card is not what `write_card` writes.
    """
    path = folder / CARD
    if not path.exists():
        return None
    try:
        fields = read_json(path)
        return CachedCard(
            num_images=fields["num_images"],
            layout=fields["layout"],
            size=fields["size"],
            broken=tuple(fields["broken"]),
            parts=tuple(fields["parts"]),
            files=tuple(CachedFile(**file) for file in fields["files"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedEntryError(
            f"the card of cached images must be readable, but {path} is not ({error!r}); {_remedy(folder)}"
        ) from error


def verify_entry(folder: Path, *, checksums: bool = False) -> CachedCard:
    """Check that an entry's files are there and have the sizes that its card tells.

    Args:
      folder: a finished entry, or a finished part of one.
      checksums: read every file and compare its checksum as well (about a second a GB).

    Returns:
      The entry's card.

    Raises:
      FileNotFoundError: the entry is not finished.
      DamagedEntryError: a file is absent, shorter, longer or, with `checksums`, other than what was written.
    """
    card = read_card(folder)
    if card is None:
        raise FileNotFoundError(f"cached images must be finished, but {folder} has no {CARD}; run the study again")
    for file in card.files:
        _verify_file(folder / file.name, file, checksums, folder)
    return card


def _verify_file(path: Path, file: CachedFile, checksums: bool, folder: Path) -> None:
    if not path.exists():
        raise DamagedEntryError(f"a file of the image cache must exist, but {path} does not; {_remedy(folder)}")
    num_bytes = path.stat().st_size
    if num_bytes != file.num_bytes:
        raise DamagedEntryError(
            f"a file of the image cache must have the {file.num_bytes} bytes that were written, but {path} has "
            f"{num_bytes}; {_remedy(folder)}"
        )
    if checksums and checksum(path) != file.crc32:
        raise DamagedEntryError(
            f"a file of the image cache must have the bytes that were written, but the checksum of {path} is not "
            f"the one on its card; {_remedy(folder)}"
        )


def _remedy(folder: Path) -> str:
    return f"remove the folder {folder} and run the study again"

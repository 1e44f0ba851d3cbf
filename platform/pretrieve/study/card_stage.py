"""What the image sets of a study hold, as a card each: made once, kept by key, told and recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pretrieve.atomic_files import read_json, replacing, write_json
from pretrieve.data.dataset_card import make_card
from pretrieve.data.folder_tree import passed_over_files
from pretrieve.data.image_set import ImageSet
from pretrieve.data.settings import ImageSetSettings
from pretrieve.keys import content_key

CARD_VERSION = 1
"""Raise it when the same images give another card."""

CARDS_FOLDER = "cards"

MAX_IMAGES = {"source": 10_000, "target": 50_000}
"""Images that are read for a card; of a larger set a sample. That of a source is for orientation."""


def keep_card(
    settings: ImageSetSettings,
    image_set: ImageSet,
    *,
    side: str,
    seed: int,
    cache: Path,
    folder: Path,
    on_progress: Callable[[int, int], None],
) -> tuple[str, ...]:
    """Write the card of an image set into a study's folder, made where the cache has none.

    Args:
      settings: where the set comes from.
      image_set: the set as the study uses it, splits made and cut.
      side: `source` or `target`.
      seed: of the sample of a large set.
      cache: folder of cards, by key.
      folder: of the study's cards.
      on_progress: called with (images read, images to read).

    Returns:
      The card's warnings.
    """
    key = content_key(
        kind="card",
        version=CARD_VERSION,
        name=image_set.name,
        fingerprints=dict(image_set.fingerprints),
        max_images=MAX_IMAGES[side],
        seed=seed,
    )
    kept = cache / f"{key}.json"
    if not kept.exists():
        card = make_card(
            image_set,
            max_images=MAX_IMAGES[side],
            seed=seed,
            passed_over=_passed_over(settings),
            on_progress=on_progress,
        )
        write_json(kept, {"card": card.to_dict(), "warnings": list(card.warnings), "markdown": card.to_markdown()})
    found = read_json(kept)
    write_json(folder / f"{image_set.name}.json", found["card"])
    with replacing(folder / f"{image_set.name}.md") as temporary:
        temporary.write_text(found["markdown"], encoding="utf-8")
    return tuple(found["warnings"])


def _passed_over(settings: ImageSetSettings) -> list[str]:
    if settings.folder is None or settings.published is not None:
        return []
    return [path.relative_to(settings.folder).as_posix() for path in passed_over_files(settings.folder)]


def card_artifacts(folder: Path) -> list[tuple[Path, str | None]]:
    """List the cards in a study's folder, with the artifact folder of each."""
    return [(path, CARDS_FOLDER) for path in sorted((folder / CARDS_FOLDER).glob("*.*"))]

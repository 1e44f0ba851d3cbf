"""Image sets kept as Parquet, so that what a function made is made once."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pretrieve.atomic_files import read_json, replacing, write_json
from pretrieve.data.image_set import ImageSet

CARD = "card.json"


def save_image_set(image_set: ImageSet, folder: Path) -> None:
    """Write an image set; the card comes last, so a folder without one is unfinished."""
    for split, table in image_set.splits.items():
        with replacing(folder / f"{split}.parquet") as temporary:
            pq.write_table(table, temporary, compression="none")  # PNG and JPEG do not shrink further
    card = {
        "name": image_set.name,
        "class_names": list(image_set.class_names),
        "metric": image_set.metric,
        "fingerprints": dict(image_set.fingerprints),
    }
    write_json(folder / CARD, card)


def load_stored_set(folder: Path) -> ImageSet | None:
    """Read an image set written by `save_image_set`; None where there is none, or an unfinished one."""
    if not (folder / CARD).exists():
        return None
    card = read_json(folder / CARD)
    return ImageSet(
        name=card["name"],
        class_names=tuple(card["class_names"]),
        splits={split: pq.read_table(folder / f"{split}.parquet") for split in card["fingerprints"]},
        fingerprints=card["fingerprints"],
        metric=card["metric"],
    )

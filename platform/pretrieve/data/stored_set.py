"""Image sets stored as Parquet, so that a set that a function makes is made once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pretrieve.artifacts.seals import read_sealed, read_sealed_json, sealing, write_sealed_json
from pretrieve.artifacts.store import is_kept
from pretrieve.data.image_set import ImageSet

CARD = "card.json"


def save_image_set(image_set: ImageSet, folder: Path) -> None:
    """Write an image set; the card comes last, so that a folder without one is unfinished."""
    for split, table in image_set.splits.items():
        with sealing(folder / f"{split}.parquet") as temporary:
            pq.write_table(table, temporary, compression="none")  # PNG and JPEG do not shrink further
    card = {
        "name": image_set.name,
        "class_names": list(image_set.class_names),
        "metric": image_set.metric,
        "fingerprints": dict(image_set.fingerprints),
    }
    write_sealed_json(folder / CARD, card)


def load_stored_set(folder: Path) -> ImageSet | None:
    """Read an image set written by `save_image_set`; None where it is missing, unfinished or damaged."""
    if not is_kept(folder / CARD):
        return None
    card = read_sealed_json(folder / CARD)
    paths = {split: folder / f"{split}.parquet" for split in card["fingerprints"]}
    if not all(is_kept(path) for path in paths.values()):
        return None
    return ImageSet(
        name=card["name"],
        class_names=tuple(card["class_names"]),
        splits={split: pq.read_table(pa.BufferReader(read_sealed(path))) for split, path in paths.items()},
        fingerprints=card["fingerprints"],
        metric=card["metric"],
    )

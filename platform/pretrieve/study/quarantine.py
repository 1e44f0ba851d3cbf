"""The images of a study's targets that do not decode: left out everywhere, counted, and named in the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pretrieve.atomic_files import write_json
from pretrieve.image_cache.card import read_card
from pretrieve.study.materials import Materials

QUARANTINE_ARTIFACT = "left_out_images.json"

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitCounts:
    """How many images of a split there are, and how many count.

    Attributes:
      num_listed: images that the set lists.
      num_decoded: of these, what training reads, and what a score is divided by.
      left_out: "path: reason" of each other.
    """

    num_listed: int
    num_decoded: int
    left_out: tuple[str, ...]


def count_decoded(materials: Materials) -> dict[str, dict[str, SplitCounts]]:
    """Count the images of every target and split, from the finished image cache."""
    return {name: {split: _counts(materials, name, split) for split in SPLITS} for name in materials.targets}


def _counts(materials: Materials, name: str, split: str) -> SplitCounts:
    folder = materials.training_folder if split == "train" else materials.evaluation_folder
    card = read_card(folder(name, split))
    assert card is not None, "the image cache is made before anything is counted"
    return SplitCounts(materials.targets[name].num_images(split), card.num_images, card.broken)


def describe_left_out(counts: Mapping[str, Mapping[str, SplitCounts]]) -> Iterator[str]:
    """Yield a sentence for each split whose score, or training, is of fewer images than are listed."""
    for name, splits in counts.items():
        for split, found in splits.items():
            if found.left_out:
                what = "training has" if split == "train" else f"a {split} score counts"
                yield (
                    f"{what} {found.num_decoded} of the {found.num_listed} {split} images of {name!r}: "
                    f"{len(found.left_out)} left out, because undecodable"
                )


def write_quarantine(materials: Materials, folder: Path) -> Path:
    """Write the counts and names as JSON into a study's folder, also where nothing is left out."""
    counts = count_decoded(materials)
    write_json(
        folder / QUARANTINE_ARTIFACT,
        {name: {split: asdict(found) for split, found in splits.items()} for name, splits in counts.items()},
    )
    return folder / QUARANTINE_ARTIFACT

"""FGVC-Aircraft: 100 variants of aircraft (Maji et al. 2013)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import (
    ClassLists,
    ListedImages,
    ListedSet,
    find_label,
    read_lines,
    read_rows,
)

PAGE = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
RELEASE = "fgvc-aircraft-2013b"


class Aircraft(ListedSet):
    """Classes are variants, the finest of the three levels; their names hold spaces and slashes: 'F/A-18'."""

    name = "aircraft"
    facts = PublishedFacts(
        title="FGVC-Aircraft",
        num_classes=100,
        num_images={"train": 3_334, "val": 3_333, "test": 3_333},
        metric="mean_per_class",
        split="official train, val and test lists",
        licence="non-commercial research only",
        page=PAGE,
        archives=(
            Archive(
                f"{RELEASE}.tar.gz",
                f"{PAGE}archives/{RELEASE}.tar.gz",
                md5="d4acdd33327262359767eeaa97a4f732",
                contains=RELEASE,
            ),
        ),
    )

    def lists(self, root: Path) -> ClassLists:
        """Read `data/images/<number>.jpg` of the release by its lists of variants."""
        folder = root / RELEASE / "data"
        class_names = read_lines(folder / "variants.txt")
        label_of_variant = {variant: label for label, variant in enumerate(class_names)}
        splits = {}
        for split in self.facts.num_images:
            origin = folder / f"images_variant_{split}.txt"
            rows = read_rows(origin, 2)
            labels = [find_label(variant, label_of_variant, origin) for _, variant in rows]
            splits[split] = ListedImages(origin, [folder / "images" / f"{image}.jpg" for image, _ in rows], labels)
        return class_names, splits

"""FGVC-Aircraft: 100 variants of aircraft (Maji et al. 2013)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, read_lines, read_rows

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

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `data/images/<number>.jpg` of the release by its lists of variants."""
        origin = root / RELEASE / "data" / f"images_variant_{split}.txt"
        rows = read_rows(origin, 2)
        paths = [origin.parent / "images" / f"{image}.jpg" for image, _ in rows]
        return ListedImages(origin, paths, [variant for _, variant in rows])

    def class_names(self, root: Path, train: ListedImages) -> dict[str, str]:
        return {variant: variant for variant in read_lines(root / RELEASE / "data" / "variants.txt")}

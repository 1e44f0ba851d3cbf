"""The audit for leaks on real photographs: how many planted copies of test images it finds in a source, and what else.

    python benchmarks/leakage_audit.py --photos ../shared/data/photos

The source is the 200-class ImageNet subset at 64 px, the test images are those of three targets. 50 test images are
copied into the source: resized, cropped by a tenth, re-compressed, mirrored, or several of these, each by amounts that
are drawn anew and are not those of the calibration. Prints how many of them are found, by kind, and every other pair
that is reported, with its names: those may be duplicates that the data really have, so they are drawn side by side
(`--sheets FOLDER`) for a person to judge. `--within` audits each target's own train split against its test split
instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from folder_trees import load_module
from numpy.typing import NDArray

from pretrieve.audit.contact_sheet import PairCard, write_contact_sheets
from pretrieve.audit.known_copies import Pixels, cropped, mirrored_image, recompressed, resized
from pretrieve.audit.leaks import LeakReport
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.sharded_audit import audit_over_ray
from pretrieve.cluster import connected
from pretrieve.data.decode import encode_png
from pretrieve.data.image_table import table_of_contents
from pretrieve.records import LeakPair

TARGETS = ("caltech101", "monkeys10", "dtd10")
NUM_PLANTED = 50
MIN_FOUND = 48
MAX_FALSE_ALARMS_PER_10000 = 5
SETTINGS = AuditSettings()

Alter = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True)
class LabelledImages:
    """Images with their names.

    Attributes:
      images: (N, 64, 64, 3) uint8.
      names: of each, with its class.
    """

    images: Pixels
    names: list[str]


def resize_somehow(image: Pixels, rng: np.random.Generator) -> Pixels:
    return resized(image, rng.uniform(0.4, 0.7))


def recompress_somehow(image: Pixels, rng: np.random.Generator) -> Pixels:
    return recompressed(image, int(rng.integers(12, 31)))


def crop_a_tenth(image: Pixels, rng: np.random.Generator) -> Pixels:
    return cropped(image, rng, 0.9)


def mirror(image: Pixels, rng: np.random.Generator) -> Pixels:
    return mirrored_image(image)


PLANTED_KINDS: dict[str, tuple[Alter, ...]] = {
    "resized": (resize_somehow,),
    "cropped": (crop_a_tenth,),
    "re-compressed": (recompress_somehow,),
    "mirrored": (mirror,),
    "cropped, re-compressed": (crop_a_tenth, recompress_somehow),
    "cropped, mirrored": (crop_a_tenth, mirror),
    "resized, mirrored": (resize_somehow, mirror),
    "resized, re-compressed": (resize_somehow, recompress_somehow),
    "cropped, resized, re-compressed": (crop_a_tenth, resize_somehow, recompress_somehow),
    "all four": (crop_a_tenth, resize_somehow, mirror, recompress_somehow),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos.py and px64/*.npz")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets of what was not planted")
    parser.add_argument("--seed", type=int, default=0, help="of what is planted")
    parser.add_argument("--rows", type=int, help="take only so many source images")
    parser.add_argument("--within", action="store_true", help="audit the train splits of the targets instead")
    arguments = parser.parse_args()
    if not (arguments.photos / "photos.py").is_file():
        sys.exit(f"the photographs must be at {arguments.photos}, but photos.py is not there")
    if arguments.within:
        audit_targets(arguments.photos, arguments.sheets)
        return
    originals, test = load_photographs(arguments.photos, arguments.rows)
    source, copied, kinds = plant(originals, test, arguments.seed)
    started, cpu_started = time.perf_counter(), time.process_time()
    report = audit(source, test)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    planted = {(len(originals.images) + number, row) for number, row in enumerate(copied.tolist())}
    others = [pair for pair in report.pairs if (pair.source_index, pair.test_index) not in planted]
    print("\n".join(report.summary()))
    num_found = print_found(report, len(originals.images), copied, kinds)
    rate = print_others(others, source, test, len(originals.images))
    print(f"\n{len(source.images):,} × {len(test.images):,} images: {seconds:.1f} s of wall time")
    print(f"{cpu_seconds:.1f} s of CPU time in this process")
    if arguments.sheets is not None and others:
        cards = [card(pair, source, test) for pair in others]
        print("to look at:", *write_contact_sheets(cards, arguments.sheets))
    reached = num_found >= MIN_FOUND and rate <= MAX_FALSE_ALARMS_PER_10000
    print(f"goal ({MIN_FOUND} of {NUM_PLANTED}, {MAX_FALSE_ALARMS_PER_10000} an 10,000): {'yes' if reached else 'no'}")
    sys.exit(not reached)


def audit_targets(photos: Path, sheets: Path | None) -> None:
    """Print which training images of each target show test images of it."""
    loader = load_module(photos / "photos.py")
    for target in TARGETS:
        packed = loader.load(photos / "px64" / f"target_{target}.npz")
        train, test = (_labelled(packed, np.flatnonzero(packed["split"] == split), target) for split in (0, 1))
        report = audit(train, test)
        print(f"\n{target}, train against test", *report.summary(), sep="\n")
        print_pairs(report.pairs, train, test)
        if sheets is not None:
            cards = [card(pair, train, test) for pair in report.pairs]
            print("to look at:", *write_contact_sheets(cards, sheets / target))


def load_photographs(photos: Path, num_rows: int | None) -> tuple[LabelledImages, LabelledImages]:
    """Return the source and the targets' test images."""
    loader = load_module(photos / "photos.py")
    source = loader.load(photos / "px64" / "source_tinyimagenet200.npz")
    tests = []
    for target in TARGETS:
        packed = loader.load(photos / "px64" / f"target_{target}.npz")
        tests.append(_labelled(packed, np.flatnonzero(packed["split"] == 1), target))
    images = np.concatenate([test.images for test in tests])
    names = [name for test in tests for name in test.names]
    return _labelled(source, np.arange(len(source["images"]))[:num_rows], "source"), LabelledImages(images, names)


def _labelled(packed: dict[str, object], rows: NDArray[np.int64], set_name: str) -> LabelledImages:
    images, labels = np.asarray(packed["images"])[rows], np.asarray(packed["labels"])[rows]
    classes, paths = list(packed["class_names"]), list(packed["paths"])  # type: ignore[call-overload]
    names = [f"{classes[label]} · {set_name}/{paths[row]}" for row, label in zip(rows, labels, strict=True)]
    return LabelledImages(images, names)


def plant(
    originals: LabelledImages, test: LabelledImages, seed: int
) -> tuple[LabelledImages, NDArray[np.int64], list[str]]:
    """Append altered copies of test images to the source; return it, whose copies these are, and of which kind."""
    rng = np.random.default_rng(seed)
    copied = rng.choice(len(test.images), size=NUM_PLANTED, replace=False)
    names = list(PLANTED_KINDS)
    kinds = [names[number % len(names)] for number in range(NUM_PLANTED)]
    copies = []
    for row, kind in zip(copied, kinds, strict=True):
        image = test.images[row]
        for change in PLANTED_KINDS[kind]:
            image = change(image, rng)
        copies.append(image)
    images = np.concatenate([originals.images, np.stack(copies)])
    planted = [f"planted ({kind}) {test.names[row]}" for row, kind in zip(copied, kinds, strict=True)]
    return LabelledImages(images, [*originals.names, *planted]), copied, kinds


def audit(source: LabelledImages, test: LabelledImages) -> LeakReport:
    with connected():
        return audit_over_ray(table_of(source), table_of(test), settings=SETTINGS)


def table_of(side: LabelledImages) -> pa.Table:
    return table_of_contents(side.names, [encode_png(image) for image in side.images], [0] * len(side.names))


def print_found(report: LeakReport, num_originals: int, copied: NDArray[np.int64], kinds: list[str]) -> int:
    """Print the planted copies that were found, by kind, and return their number."""
    pairs = {(pair.source_index, pair.test_index): pair for pair in report.pairs}
    found = [pairs.get((num_originals + number, row)) for number, row in enumerate(copied.tolist())]
    planted, by_kind = Counter(kinds), Counter(kind for kind, pair in zip(kinds, found, strict=True) if pair)
    print(f"\n{'planted':34} {'found':>6}  reported as")
    for kind, number in planted.items():
        reported = Counter(pair.kind for name, pair in zip(kinds, found, strict=True) if pair and name == kind)
        described = ", ".join(f"{count} {word}" for word, count in reported.most_common())
        print(f"{kind:34} {by_kind[kind]:>3}/{number:<2}  {described}")
    num_found = sum(pair is not None for pair in found)
    print(f"{'all':34} {num_found:>3}/{len(kinds)}")
    for number, pair in enumerate(found):
        if pair is None:
            print(f"  missed: source {num_originals + number} ({kinds[number]}) of test image {copied[number]}")
    return num_found


def print_others(others: list[LeakPair], source: LabelledImages, test: LabelledImages, num_originals: int) -> float:
    """Print the pairs that were not planted, and return how many source images are in them, of 10,000.

    Counted as false alarms without a look at them: pairs of which the data have duplicates are among them, and pairs of
    a planted copy with another test image than its original.
    """
    images = {pair.source_index for pair in others}
    rate = 1e4 * len(images) / len(source.images)
    num_planted = sum(row >= num_originals for row in images)
    print(
        f"\nnot planted: {len(others)} pairs of {len(images)} source images, {rate:.1f} of 10,000; of these images "
        f"{num_planted} are planted copies, with another test image than their original"
    )
    print_pairs(others, source, test)
    return rate


def print_pairs(pairs: Sequence[LeakPair], source: LabelledImages, test: LabelledImages) -> None:
    for pair in pairs:
        print(
            f"  {pair.likeness:.3f} (correlation {pair.correlation:.2f}, detail {pair.detail:.2f}, colour "
            f"{pair.colour_error:.0f}, bits {pair.hash_distance}) {pair.kind}: {source.names[pair.source_index]} | "
            f"{test.names[pair.test_index]}"
        )


def card(pair: LeakPair, source: LabelledImages, test: LabelledImages) -> PairCard:
    """Describe a pair for the contact sheet."""
    scores = f"{pair.likeness:.2f} {pair.kind}, detail {pair.detail:.2f}, {pair.hash_distance} bits"
    lines = (source.names[pair.source_index], test.names[pair.test_index], scores)
    return PairCard(source.images[pair.source_index], test.images[pair.test_index], lines)


if __name__ == "__main__":
    main()

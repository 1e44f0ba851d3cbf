"""Make the splits that a data set lacks: stratified and seeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_table import concatenate
from pretrieve.errors import ImageSetError

_PURPOSES = {"val": "validation", "test": "the test"}


def hold_out(
    table: pa.Table,
    *,
    fraction: float,
    seed: int,
    set_name: str,
    class_names: Sequence[str] = (),
    split: Literal["val", "test"] = "val",
) -> tuple[pa.Table, pa.Table]:
    """Split a table class by class into (kept, held out) (appendix A: 20% of train for validation).

    Each class gives the rounded `fraction` of its images, in (0, 1): at least one, and it keeps at least one. The draw
    of a class does not depend on other classes. Indices count from 0 in each part. Classes with a single image raise
    an ImageSetError, which names them all by `class_names`, or else their labels, and the purpose, `split`.
    """
    labels = np.asarray(table["label"].to_numpy())
    if single := _single_classes(labels, class_names):
        raise ImageSetError(
            f"each class of {set_name!r} needs at least 2 training images to hold one out for {_PURPOSES[split]}, "
            f"but {single}; add images or give a {split} split"
        )
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        rng = np.random.default_rng(derived_seed(seed, "hold_out", int(label)))
        held[rng.choice(rows, size=count, replace=False)] = True
    return concatenate([table.filter(pa.array(~held))]), concatenate([table.filter(pa.array(held))])


def _single_classes(labels: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Say which classes have one image alone, in words; empty where none has."""
    found, counts = np.unique(labels, return_counts=True)
    single = [class_names[k] if class_names else f"label {k}" for k in found[counts == 1]]
    names = ", ".join(map(repr, single) if class_names else single)
    return f"{names} {'have' if len(single) > 1 else 'has'} 1" if single else ""


def split_per_class(
    table: pa.Table, *, images_per_class: int, seed: int, set_name: str, class_names: Sequence[str] = ()
) -> tuple[pa.Table, pa.Table]:
    """Draw `images_per_class` images of each class for training and leave the rest for test (appendix A: Caltech-101).

    The seed, the label and the file's name give each image a number, and the smallest numbers are drawn. So the split
    is the same on every machine, in every folder and for every order of the files, and a larger draw contains a smaller
    one. A class with `images_per_class` images or fewer gives all but one. Both parts, (drawn, rest), are in the order
    of labels and file names, with indices from 0. Classes with a single image raise an ImageSetError, which names them
    all by `class_names`, or else their labels.
    """
    if single := _single_classes(np.asarray(table["label"].to_numpy()), class_names):
        raise ImageSetError(
            f"each class of {set_name!r} needs at least 2 images, one to train on and one to test on, but {single}; "
            "add images or remove the class"
        )
    rows_of_label: dict[int, list[tuple[str, str, int]]] = {}
    for row, (label, path) in enumerate(zip(table["label"].to_pylist(), table["path"].to_pylist(), strict=True)):
        rows_of_label.setdefault(label, []).append((Path(path).name, path, row))
    drawn, rest = [], []
    for label, files in sorted(rows_of_label.items()):
        by_draw = sorted(files, key=lambda file: (derived_seed(seed, "split_per_class", label, file[0]), file))
        count = min(images_per_class, len(files) - 1)
        drawn += [row for *_, row in sorted(by_draw[:count])]
        rest += [row for *_, row in sorted(by_draw[count:])]
    return concatenate([table.take(drawn)]), concatenate([table.take(rest)])


def with_test(
    splits: Mapping[str, pa.Table],
    *,
    fraction: float | None,
    seed: int,
    set_name: str,
    class_names: Sequence[str] = (),
) -> dict[str, pa.Table]:
    """Hold out a test split of train where a data set has none; a `fraction` of None leaves the splits as they are.

    The images held out are not those that `hold_out` draws for val with the same seed. A fraction outside (0, 1), a
    test split that is there already, and a class too small to split raise an ImageSetError.
    """
    if fraction is None:
        return dict(splits)
    if not 0 < fraction < 1:
        raise ImageSetError(f"test_fraction of {set_name!r} must lie between 0 and 1, but is {fraction}; try 0.2")
    if "test" in splits:
        raise ImageSetError(
            f"test_fraction of {set_name!r} must not be given where the data have a test split, but is {fraction}; "
            "leave it out, or leave that split out"
        )
    test_seed = derived_seed(seed, "with_test")
    train, test = hold_out(
        splits["train"], fraction=fraction, seed=test_seed, set_name=set_name, class_names=class_names, split="test"
    )
    return {**splits, "train": train, "test": test}

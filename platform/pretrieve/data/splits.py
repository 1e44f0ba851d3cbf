"""Make the splits that a data set lacks: stratified and seeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_groups import count_classes, divide_groups, lies_in_one_part
from pretrieve.data.image_table import concatenate, groups_of, labels_of
from pretrieve.errors import ImageSetError

_PURPOSES = {"val": "validation", "test": "the test"}


@dataclass(frozen=True)
class HoldOutSettings:
    """How much is held out, and what for.

    Attributes:
      fraction: of each class, in (0, 1).
      seed: decides the draw.
      split: what it becomes; errors name its purpose.
      set_name: that of the data set, for errors.
      class_names: K names, by which errors name classes; without them they name labels.
    """

    fraction: float
    seed: int
    split: Literal["val", "test"]
    set_name: str
    class_names: Sequence[str] = ()


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

    Indices count from 0 in each part. What is drawn, and what raises an ImageSetError, says `draw_held_out`.
    """
    settings = HoldOutSettings(fraction, seed, split, set_name, class_names)
    held = draw_held_out(labels_of(table), groups_of(table), settings)
    return concatenate([table.filter(pa.array(~held))]), concatenate([table.filter(pa.array(held))])


def draw_held_out(
    labels: NDArray[np.int64], groups: NDArray[np.str_] | None, settings: HoldOutSettings
) -> NDArray[np.bool_]:
    """Draw images to be held out; return (N,) bool, of (N,) labels and, where images come in groups, (N,) names.

    Each class gives the rounded `fraction` of its images: at least one, and it keeps at least one. The draw of a class
    does not depend on other classes. Groups are held out whole, so that each class gives about its fraction. Classes
    with a single image, which are all named, or in a single group raise an ImageSetError.
    """
    if groups is not None:
        return _draw_held_out_groups(labels, groups, settings)
    if single := _single_classes(labels, settings.class_names):
        raise ImageSetError(
            f"each class of {settings.set_name!r} needs at least 2 training images to hold one out for "
            f"{_PURPOSES[settings.split]}, but {single}; add images or give a {settings.split} split"
        )
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(round(settings.fraction * len(rows)), 1), len(rows) - 1)
        rng = np.random.default_rng(derived_seed(settings.seed, "hold_out", int(label)))
        held[rng.choice(rows, size=count, replace=False)] = True
    return held


def _draw_held_out_groups(
    labels: NDArray[np.int64], groups: NDArray[np.str_], settings: HoldOutSettings
) -> NDArray[np.bool_]:
    counts, group_of = count_classes(labels, groups)
    shares = np.array([1 - settings.fraction, settings.fraction])
    parts = divide_groups(counts, shares, seed=derived_seed(settings.seed, "hold_out_groups"))
    alone = np.flatnonzero(lies_in_one_part(counts, parts))
    if alone.size:
        num_groups = int((counts[:, alone[0]] > 0).sum())
        raise ImageSetError(
            f"the groups of each class of {settings.set_name!r} must be divided to hold some out for "
            f"{_PURPOSES[settings.split]}, but those of {alone.size} classes cannot be, the first "
            f"{_described(int(alone[0]), settings.class_names)} in {num_groups} group{'s' if num_groups > 1 else ''}; "
            f"add images of other groups or give a {settings.split} split"
        )
    held: NDArray[np.bool_] = (parts == 1)[group_of]
    return held


def _single_classes(labels: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Say which classes have one image alone, in words; empty where none has."""
    found, counts = np.unique(labels, return_counts=True)
    single = [_described(label, class_names) for label in found[counts == 1]]
    return f"{', '.join(single)} {'have' if len(single) > 1 else 'has'} 1" if single else ""


def _described(label: int, class_names: Sequence[str]) -> str:
    return repr(class_names[label]) if class_names else f"label {label}"


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
    drawn, rest = draw_per_class(
        table, images_per_class=images_per_class, seed=seed, set_name=set_name, class_names=class_names
    )
    return concatenate([table.take(drawn)]), concatenate([table.take(rest)])


def draw_per_class(
    table: pa.Table, *, images_per_class: int, seed: int, set_name: str, class_names: Sequence[str] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of (drawn, rest) that `split_per_class` makes its tables of, each (N,) int64, in their order."""
    if single := _single_classes(labels_of(table), class_names):
        raise ImageSetError(
            f"each class of {set_name!r} needs at least 2 images, one to train on and one to test on, but {single}; "
            "add images or remove the class"
        )
    rows_of_label: dict[int, list[tuple[str, str, int]]] = {}
    for row, (label, path) in enumerate(zip(table["label"].to_pylist(), table["path"].to_pylist(), strict=True)):
        rows_of_label.setdefault(label, []).append((Path(path).name, path, row))
    drawn: list[int] = []
    rest: list[int] = []
    for label, files in sorted(rows_of_label.items()):
        by_draw = sorted(files, key=lambda file: (derived_seed(seed, "split_per_class", label, file[0]), file))
        count = min(images_per_class, len(files) - 1)
        drawn += [row for *_, row in sorted(by_draw[:count])]
        rest += [row for *_, row in sorted(by_draw[count:])]
    return np.array(drawn, dtype=np.int64), np.array(rest, dtype=np.int64)


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

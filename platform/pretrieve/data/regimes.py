"""Regimes cut a data set down to few labels or to a long tail of class sizes (section 4.3 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_table import concatenate, labels_of
from pretrieve.errors import ImageSetError
from pretrieve.settings_model import SettingsModel

Counts = NDArray[np.int64]


class LongTail(SettingsModel):
    """Class sizes that follow a Pareto distribution; a bare number is short for `ratio: number`.

    Attributes:
      ratio: largest class over smallest class, > 1 (the paper: 10).
      total: images of all classes; None takes as many as the smallest class allows.
    """

    ratio: Annotated[float, Field(gt=1)] = 10.0
    total: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_ratio(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"ratio": value} if is_number else value


class Regime(SettingsModel):
    """How many labels each class of a set keeps; at most one of the three settings may be given.

    A regime counts the labels of train and val together: validation needs labels too, and the refit trains on both.
    Each class keeps its own proportion between train and val. Test is never cut.

    Attributes:
      fraction: share of each class that is kept, in (0, 1]; at least one image.
      images_per_class: few-shot, so many of each class, fewer where a class has fewer.
      long_tail: Pareto class sizes.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    images_per_class: Annotated[int, Field(ge=1)] | None = None
    long_tail: LongTail | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Regime:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"at most one of fraction, images_per_class and long_tail may be given, but {', '.join(given)} are"
            )
        return self

    @property
    def restricts(self) -> bool:
        """Whether it leaves anything out; a fraction of 1 does not."""
        return self.fraction not in (None, 1.0) or self.images_per_class is not None or self.long_tail is not None

    def describe(self) -> str:
        """Describe the regime in a few words.

        >>> Regime(long_tail=LongTail(total=900)).describe()
        'long_tail 10, total 900'
        """
        if self.long_tail is not None:
            total = "" if self.long_tail.total is None else f", total {self.long_tail.total}"
            return f"long_tail {self.long_tail.ratio:g}{total}"
        return f"fraction {self.fraction}" if self.fraction is not None else f"images_per_class {self.images_per_class}"


def apply_regime(
    splits: Mapping[str, pa.Table], regime: Regime, *, seed: int, set_name: str, class_names: Sequence[str]
) -> dict[str, pa.Table]:
    """Cut train and val to the labels that a regime allows; other splits stay as they are.

    The images drawn from a class depend only on the seed and the split. Draws are nested: what a fraction of 0.2 keeps,
    0.4 keeps too. The seed also orders the classes of a long tail. Indices count from 0 in each split.

    Raises:
      ImageSetError: a class is left too few images for train and val, or the set is too small for the long tail.
    """
    labels = {split: labels_of(splits[split]) for split in ("train", "val") if split in splits}
    kept = draw_regime(labels, regime, seed=seed, set_name=set_name, class_names=class_names)
    return {**splits, **{split: concatenate([splits[split].filter(pa.array(kept[split]))]) for split in kept}}


def draw_regime(
    labels: Mapping[str, Counts], regime: Regime, *, seed: int, set_name: str, class_names: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Return which images `apply_regime` keeps, (N,) bool a split, of the (N,) labels of train and perhaps of val."""
    counts = {split: np.bincount(each, minlength=len(class_names)) for split, each in labels.items()}
    available = np.sum(list(counts.values()), axis=0)
    wanted = class_sizes(available, regime, seed=seed, set_name=set_name)
    in_val = np.zeros_like(wanted)
    if "val" in labels:
        _check_both_splits(wanted, counts["val"], available, regime, set_name, class_names)
        # Each class is divided as in the whole set, with at least one image on either side.
        share = np.rint(wanted * counts["val"] / available).astype(np.int64)
        in_val = np.where(counts["val"] > 0, np.clip(share, 1, np.maximum(wanted - 1, 1)), 0)
    kept = {"train": wanted - in_val, "val": in_val}
    is_kept = {split: np.zeros(len(each), dtype=bool) for split, each in labels.items()}
    for split, each in labels.items():
        for label, number in enumerate(kept[split]):
            draw_seed = derived_seed(seed, "regime", split, label)
            is_kept[split][draw_nested(np.flatnonzero(each == label), int(number), seed=draw_seed)] = True
    return is_kept


def class_sizes(available: Counts, regime: Regime, *, seed: int, set_name: str) -> Counts:
    """Return how many images of each class a regime keeps, (K,) int64, of (K,) int64 available ones, ≥ 1.

    The seed orders the classes of a long tail. An ImageSetError says where the classes are too few or too small for the
    long tail, or where its total does not fit them.
    """
    if regime.fraction is not None:
        return np.array([share_of(int(number), regime.fraction) for number in available], dtype=np.int64)
    if regime.images_per_class is not None:
        return np.minimum(available, regime.images_per_class)
    if regime.long_tail is None:
        return available
    ranked = _long_tail_sizes(len(available), int(available.min()), regime.long_tail, set_name)
    order = np.random.default_rng(derived_seed(seed, "long_tail")).permutation(len(available))
    sizes = np.empty_like(ranked)
    sizes[order] = ranked
    return sizes


def share_of(number: int, fraction: float) -> int:
    """Return the rounded fraction of a number of images, at least one.

    >>> [share_of(30, fraction) for fraction in (0.01, 0.2, 1.0)]
    [1, 6, 30]
    """
    return max(1, round(fraction * number))


def draw_nested(rows: Counts, num_drawn: int, *, seed: int) -> Counts:
    """Draw `num_drawn` of (N,) rows without replacement, ascending; with the same seed, draws are nested."""
    drawn: Counts = np.sort(np.random.default_rng(seed).permutation(rows)[:num_drawn])
    return drawn


def pareto_shape(num_classes: int, ratio: float) -> NDArray[np.float64]:
    """Return (K,) sizes of classes relative to the largest, from 1 down to 1 / ratio, by Pareto's law of rank and size.

    The class of rank r = 1 … K has r^(−β) of the largest one's images, with β = ln ratio / ln K. K is at least 2 and
    the ratio greater than 1.

    >>> pareto_shape(4, 10.0).round(3).tolist()
    [1.0, 0.316, 0.161, 0.1]
    """
    ranks = np.arange(1, num_classes + 1, dtype=np.float64)
    shape: NDArray[np.float64] = ranks ** (-np.log(ratio) / np.log(num_classes))
    return shape


def _long_tail_sizes(num_classes: int, limit: int, tail: LongTail, set_name: str) -> Counts:
    """Return sizes by rank, non-increasing; `limit`, the size of the smallest class, bounds them all."""
    if num_classes < 2:
        raise ImageSetError(f"a long tail needs at least 2 classes, but {set_name!r} has 1; leave out long_tail")
    if limit < tail.ratio:
        raise ImageSetError(
            f"a long tail of ratio {tail.ratio:g} needs at least {int(np.ceil(tail.ratio))} images of every class, "
            f"but the smallest of {set_name!r} has {limit}; lower long_tail.ratio"
        )
    shape = pareto_shape(num_classes, tail.ratio)
    if tail.total is None:
        # The smallest class is rounded first, so that the largest is exactly `ratio` times as large.
        smallest = int(limit / tail.ratio + 1e-9)
        return np.rint(round(smallest * tail.ratio) * shape).astype(np.int64)
    bounds = int(np.ceil(shape.sum() * tail.ratio)), int(limit * shape.sum())
    if not bounds[0] <= tail.total <= bounds[1]:
        raise ImageSetError(
            f"long_tail.total must be from {bounds[0]} to {bounds[1]} for the {num_classes} classes of {set_name!r}, "
            f"the smallest of which has {limit} images, but is {tail.total}; change it, or lower long_tail.ratio"
        )
    # The sum must be exact and the order kept: the sizes nearest to the next whole number get one more.
    sizes = tail.total * shape / shape.sum()
    rounded: Counts = np.floor(sizes).astype(np.int64)
    nearest = np.argsort(rounded - sizes, kind="stable")[: tail.total - int(rounded.sum())]
    rounded[nearest] += 1
    return rounded


def _check_both_splits(
    wanted: Counts, in_val: Counts, available: Counts, regime: Regime, set_name: str, class_names: Sequence[str]
) -> None:
    too_small = np.flatnonzero((in_val > 0) & (wanted < 2))
    if too_small.size:
        label = int(too_small[0])
        remedy = "raise fraction, or remove the smallest classes"
        if regime.fraction is None:
            by_number = "raise images_per_class to 2 or more"
            remedy = by_number if regime.images_per_class is not None else "lower long_tail.ratio, or raise its total"
        raise ImageSetError(
            f"each class of {set_name!r} must keep at least 2 images, to train and to validate, but "
            f"'{regime.describe()}' leaves {len(too_small)} with fewer, the first {class_names[label]!r}: "
            f"{wanted[label]} of {available[label]}; {remedy}"
        )

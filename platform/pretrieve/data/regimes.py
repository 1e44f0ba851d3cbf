"""Regimes: few labels or a long tail of classes, drawn from a data set that has more (section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_table import concatenate
from pretrieve.errors import ImageSetError
from pretrieve.settings_model import SettingsModel

Counts = NDArray[np.int64]


class LongTail(SettingsModel):
    """Class sizes that fall as a Pareto distribution's do; a bare number is short for `ratio: number`.

    Attributes:
      ratio: largest class over smallest class, > 1 (the paper: 10).
      total: images of all classes; None: as many as the smallest class of the set allows.
    """

    ratio: Annotated[float, Field(gt=1)] = 10.0
    total: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_ratio(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"ratio": value} if is_number else value


class Regime(SettingsModel):
    """How many labels each class of a set has; at most one of the three, and with none of them all that there are.

    A regime counts the labels of train and val together, because validation is paid for with labels too and the
    refit trains on both. Each class shares what is left to it between train and val as it shares all its images;
    test is never touched.

    Attributes:
      fraction: share of each class that is kept, in (0, 1], at least one image.
      images_per_class: few-shot: so many of each class, fewer where a class has fewer.
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
        """Whether it leaves anything out: a fraction of 1 is no regime, so that a curve ends at the set itself."""
        return self.fraction not in (None, 1.0) or self.images_per_class is not None or self.long_tail is not None

    def describe(self) -> str:
        """Write the regime in a few words.

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
    """Cut train and val to the labels that a regime allows.

    The draw of a class in a split depends on the seed and on nothing else, and a smaller number of images is the
    beginning of a larger one: what a fraction of 0.2 keeps, one of 0.4 keeps too, in train as in val.

    Args:
      splits: image tables; `train`, and `val` where there is one. Others come back as they are.
      regime: how many images of each class.
      seed: decides which images, and the order of the classes of a long tail.
      set_name: named in errors.
      class_names: K names.

    Returns:
      The splits, indices counted from 0 in each.

    Raises:
      ImageSetError: a class is left too few images for train and val, or the set too small for the long tail.
    """
    labels = {split: np.asarray(splits[split]["label"].to_numpy()) for split in ("train", "val") if split in splits}
    counts = {split: np.bincount(each, minlength=len(class_names)) for split, each in labels.items()}
    available = np.sum(list(counts.values()), axis=0)
    wanted = class_sizes(available, regime, seed=seed, set_name=set_name)
    in_val = np.zeros_like(wanted)
    if "val" in splits:
        _check_both_splits(wanted, counts["val"], available, regime, set_name, class_names)
        in_val = _share_of_val(wanted, counts["val"], available)
    kept = {"train": wanted - in_val, "val": in_val}
    cut = {split: _cut(splits[split], labels[split], kept[split], seed, split) for split in labels}
    return {**splits, **cut}


def class_sizes(available: Counts, regime: Regime, *, seed: int, set_name: str) -> Counts:
    """Return how many images of each class a regime keeps.

    Args:
      available: (K,) int64, the images that each class has, ≥ 1.
      regime: the rule.
      seed: decides which class has which place in a long tail.
      set_name: named in errors.

    Returns:
      (K,) int64, from 1 to `available`.

    Raises:
      ImageSetError: the classes are too few or too small for the long tail, or its total does not fit them.
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
    """Draw rows without replacement; with the same seed, a smaller draw is part of a larger one.

    Args:
      rows: (N,) int64.
      num_drawn: how many, from 0 to N.
      seed: of this draw alone.

    Returns:
      (num_drawn,) int64, ascending.
    """
    drawn: Counts = np.sort(np.random.default_rng(seed).permutation(rows)[:num_drawn])
    return drawn


def pareto_shape(num_classes: int, ratio: float) -> NDArray[np.float64]:
    """Return the sizes of classes over the size of the largest, by Pareto's law of rank and size.

    The class of rank r = 1 … K has r^(−β) of the largest one's images, with β = ln ratio / ln K, so that the last
    one has 1 / ratio of them.

    Args:
      num_classes: K ≥ 2.
      ratio: largest over smallest, > 1.

    Returns:
      (K,) float64, from 1 down to 1 / ratio.

    >>> pareto_shape(4, 10.0).round(3).tolist()
    [1.0, 0.316, 0.161, 0.1]
    """
    ranks = np.arange(1, num_classes + 1, dtype=np.float64)
    shape: NDArray[np.float64] = ranks ** (-np.log(ratio) / np.log(num_classes))
    return shape


def _long_tail_sizes(num_classes: int, limit: int, tail: LongTail, set_name: str) -> Counts:
    """Return the sizes by rank, non-increasing; `limit` is the size of the smallest class, so that any order fits."""
    if num_classes < 2:
        raise ImageSetError(f"a long tail needs at least 2 classes, but {set_name!r} has 1; leave out long_tail")
    if limit < tail.ratio:
        raise ImageSetError(
            f"a long tail of ratio {tail.ratio:g} needs at least {int(np.ceil(tail.ratio))} images of every class, "
            f"but the smallest of {set_name!r} has {limit}; lower long_tail.ratio"
        )
    shape = pareto_shape(num_classes, tail.ratio)
    if tail.total is None:
        # The smallest class is a whole number first: so the largest is exactly `ratio` times as large.
        smallest = int(limit / tail.ratio + 1e-9)
        return np.rint(round(smallest * tail.ratio) * shape).astype(np.int64)
    bounds = int(np.ceil(shape.sum() * tail.ratio)), int(limit * shape.sum())
    if not bounds[0] <= tail.total <= bounds[1]:
        raise ImageSetError(
            f"long_tail.total must be from {bounds[0]} to {bounds[1]} for the {num_classes} classes of {set_name!r}, "
            f"the smallest of which has {limit} images, but is {tail.total}; change it, or lower long_tail.ratio"
        )
    return _rounded_to_total(tail.total * shape / shape.sum(), tail.total)


def _rounded_to_total(sizes: NDArray[np.float64], total: int) -> Counts:
    """Round so that the sum is exact and the order stays: those nearest to the next whole number get one more."""
    rounded = np.floor(sizes).astype(np.int64)
    nearest = np.argsort(rounded - sizes, kind="stable")[: total - int(rounded.sum())]
    rounded[nearest] += 1
    return rounded


def _check_both_splits(
    wanted: Counts,
    in_val: Counts,
    available: Counts,
    regime: Regime,
    set_name: str,
    class_names: Sequence[str],
) -> None:
    too_small = np.flatnonzero((in_val > 0) & (wanted < 2))
    if too_small.size:
        label = int(too_small[0])
        raise ImageSetError(
            f"each class of {set_name!r} must keep at least 2 images, one to train on and one to validate on, but "
            f"'{regime.describe()}' leaves {len(too_small)} with fewer, the first {class_names[label]!r}: "
            f"{wanted[label]} of {available[label]}; {_remedy(regime)}"
        )


def _remedy(regime: Regime) -> str:
    if regime.fraction is not None:
        return "raise fraction, or remove the smallest classes"
    if regime.images_per_class is not None:
        return "raise images_per_class to 2 or more"
    return "lower long_tail.ratio, or raise its total"


def _share_of_val(wanted: Counts, in_val: Counts, available: Counts) -> Counts:
    """Divide each class as it is divided in the whole set, at least one image to either side."""
    share = np.rint(wanted * in_val / available).astype(np.int64)
    return np.where(in_val > 0, np.clip(share, 1, np.maximum(wanted - 1, 1)), 0)


def _cut(table: pa.Table, labels: Counts, kept: Counts, seed: int, split: str) -> pa.Table:
    rows = [
        draw_nested(np.flatnonzero(labels == label), int(number), seed=derived_seed(seed, "regime", split, label))
        for label, number in enumerate(kept)
    ]
    is_kept = np.zeros(len(labels), dtype=bool)
    is_kept[np.concatenate(rows)] = True
    return concatenate([table.filter(pa.array(is_kept))])

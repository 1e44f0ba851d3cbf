"""Folds: divide the labelled images so that each is scored once, by a network that did not see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_groups import count_classes, divide_groups
from pretrieve.errors import ImageSetError

NEVER_HELD_OUT = -1

MAX_FOLDS = 127


@dataclass(frozen=True, eq=False)
class Folds:
    """The fold of each labelled image.

    Attributes:
      numbers: (N,) int8 in 0 … F − 1: the network that learns from the other folds scores this image. NEVER_HELD_OUT,
        −1, marks an image that all networks learn from, because it is the only one of its class, and what is in its
        group.
      notices: sentences on classes that not every fold scores.
    """

    numbers: NDArray[np.int8]
    notices: tuple[str, ...]


def make_folds(
    labels: NDArray[np.int64],
    *,
    names: Sequence[str],
    groups: NDArray[np.str_] | None = None,
    num_folds: int,
    seed: int,
    set_name: str,
) -> Folds:
    """Divide N labelled images into folds, stratified: each class is spread over the folds as evenly as possible.

    Without groups, the sizes of folds differ by one image at most, and so do the images of each class in them. Groups
    are kept whole, and classes and sizes balanced as well as a greedy search can (`image_groups.divide_groups`). The
    images are sorted by name before anything is drawn, so their order does not matter. Wherever an image is held out,
    others of its class are learned.

    Args:
      labels: (N,) in 0 … K − 1.
      names: (N,) different names, such as the paths of an image table.
      groups: (N,) names of groups, such as patients; None where each image stands alone.
      num_folds: F, from 2 to 127.
      seed: decides the draw.
      set_name: that of the target, for messages.

    Raises:
      ImageSetError: F is out of range, more than the images or groups that can be held out, or a class of several
        images lies in one group or can only be in one fold, so that without this fold it could not be learned.

    >>> make_folds(np.array([0, 0, 0, 1, 1, 1]), names="abcdef", num_folds=3, seed=0, set_name="letters").notices
    ()
    """
    by_name = np.array(sorted(range(len(labels)), key=names.__getitem__))
    is_held = _can_be_held_out(labels, groups)
    rows = by_name[is_held[by_name]]
    if groups is None:
        _check_number(num_folds, len(rows), f"images of {set_name!r}")
    else:
        _check_number(num_folds, len(np.unique(groups[rows])), f"groups of images of {set_name!r}")
    numbers = np.full(len(labels), NEVER_HELD_OUT, dtype=np.int8)
    if groups is None:
        numbers[rows] = _deal(labels[rows], num_folds, seed)
    else:
        numbers[is_held] = _divide(labels[is_held], groups[is_held], num_folds, seed)
    num_held = _count_held_out(labels, numbers, num_folds)
    if groups is not None:
        _check_learned(labels, groups, num_held, set_name)
    return Folds(numbers, tuple(_notices(num_held, set_name)))


def _check_number(num_folds: int, num_units: int, units: str) -> None:
    if not 2 <= num_folds <= MAX_FOLDS:
        raise ImageSetError(
            f"the {units} must be divided into 2 to {MAX_FOLDS} folds, but the number of folds is {num_folds}; take 5"
        )
    if num_units < num_folds:
        raise ImageSetError(
            f"the {units} that can be held out must be at least as many as the folds, {num_folds}, but are "
            f"{num_units}; lower the number of folds"
        )


def _can_be_held_out(labels: NDArray[np.int64], groups: NDArray[np.str_] | None) -> NDArray[np.bool_]:
    """Return False for the only image of a class, and for all images of its group, (N,)."""
    is_only = np.bincount(labels)[labels] == 1
    return ~is_only if groups is None else ~np.isin(groups, groups[is_only])


def _deal(labels: NDArray[np.int64], num_folds: int, seed: int) -> NDArray[np.int64]:
    """Deal the images out like cards, class by class: no fold gets two of a class or deck more than another."""
    rng = np.random.default_rng(derived_seed(seed, "folds"))
    classes = rng.permutation(np.unique(labels))
    dealt = np.concatenate([rng.permutation(np.flatnonzero(labels == label)) for label in classes])
    numbers = np.empty(len(labels), dtype=np.int64)
    numbers[dealt] = np.arange(len(labels)) % num_folds
    return numbers


def _divide(labels: NDArray[np.int64], groups: NDArray[np.str_], num_folds: int, seed: int) -> NDArray[np.int64]:
    counts, group_of = count_classes(labels, groups)
    shares = np.full(num_folds, 1 / num_folds)
    parts = divide_groups(counts, shares, seed=derived_seed(seed, "folds"), largest_first=True)
    numbers: NDArray[np.int64] = parts[group_of]
    return numbers


def _count_held_out(labels: NDArray[np.int64], numbers: NDArray[np.int8], num_folds: int) -> NDArray[np.int64]:
    """Count the images of each class in each fold, (F, K); in a last row those that are never held out, (F + 1, K)."""
    counts = np.zeros((num_folds + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (numbers.astype(np.int64), labels), 1)  # NEVER_HELD_OUT, −1, is the last row
    return counts


def _check_learned(
    labels: NDArray[np.int64], groups: NDArray[np.str_], num_held: NDArray[np.int64], set_name: str
) -> None:
    """Raise an ImageSetError where the networks of a fold would learn a class from no image."""
    alone = np.flatnonzero((num_held > 0).sum(axis=0) == 1)
    alone = alone[num_held[-1, alone] == 0]
    if alone.size:
        num_images, num_groups = (labels == alone[0]).sum(), len(np.unique(groups[labels == alone[0]]))
        raise ImageSetError(
            "the groups of each class must be divided over folds, but those of "
            f"{alone.size} classes of {set_name!r} cannot be, the first label {alone[0]}: {num_images} images "
            f"in {num_groups} group{'s' if num_groups > 1 else ''}; label images of other groups, or leave out the "
            "class"
        )


def _notices(num_held: NDArray[np.int64], set_name: str) -> list[str]:
    num_folds, num_classes = len(num_held) - 1, int(num_held.any(axis=0).sum())
    folds_of = (num_held[:-1] > 0).sum(axis=0)
    never = np.flatnonzero(num_held.any(axis=0) & (folds_of == 0))
    seldom = np.flatnonzero((folds_of > 0) & (folds_of < num_folds))
    notices = []
    if never.size:
        notices.append(
            f"{never.size} of the {num_classes} classes of {set_name!r} are never held out, so not scored, the first "
            f"label {never[0]}: they have a single labelled image, or lie in the group of such an image"
        )
    if seldom.size:
        notices.append(
            f"{seldom.size} of the {num_classes} classes of {set_name!r} are held out in fewer than {num_folds} folds, "
            f"the first label {seldom[0]} in {folds_of[seldom[0]]}: the other folds do not score them"
        )
    return notices

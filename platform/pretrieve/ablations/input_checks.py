"""Check what an ablation is asked to vary, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection import SelectionInputError
from pretrieve_selection.nearest_word import describe_choices


def check_words(field: str, words: Iterable[str], allowed: Collection[str]) -> tuple[str, ...]:
    """Return the words in their order, each once.

    Args:
      field: name of the argument, for the message.
      words: one or more of the allowed ones.
      allowed: all that may be given.

    Raises:
      SelectionInputError: there is no word, or one that is not allowed.

    >>> check_words("costs", ["l2", "cosine", "l2"], ["cosine", "l2"])
    ('l2', 'cosine')
    """
    if isinstance(words, str):
        raise SelectionInputError(f"{field} must be a list, but is the single word {words!r}; write [{words!r}]")
    given = tuple(dict.fromkeys(words))
    if not given:
        raise SelectionInputError(f"{field} must hold at least one word, but is empty: {describe_choices('', allowed)}")
    for word in given:
        if word not in allowed:
            raise SelectionInputError(f"{field} must not hold {word!r}: {describe_choices(word, allowed)}")
    return given


def check_cost_scales(field: str, scales: Iterable[float]) -> tuple[float, ...]:
    """Return the scales in ascending order, each once.

    Args:
      field: name of the argument, for the message.
      scales: one or more finite numbers > 0.

    Raises:
      SelectionInputError: there is no scale, or one that is not a finite number > 0.
    """
    given = list(scales)
    if not given:
        raise SelectionInputError(f"{field} must hold at least one number, but is empty; the paper uses 0.01")
    for place, scale in enumerate(given):
        is_number = isinstance(scale, (int, float, np.integer, np.floating)) and not isinstance(scale, bool)
        if not (is_number and math.isfinite(scale) and scale > 0):
            raise SelectionInputError(
                f"{field} must be finite numbers > 0, but number {place} of them is {scale!r}; the paper uses 0.01"
            )
    return tuple(sorted({float(scale) for scale in given}))


def check_num_clusters(num_clusters: Iterable[int], *, num_images: int) -> tuple[int, ...]:
    """Return the numbers of clusters in ascending order, each once.

    Args:
      num_clusters: one or more integers from 1 to num_images.
      num_images: N, of the source.

    Raises:
      SelectionInputError: there is no number, or one out of range.
    """
    given = list(num_clusters)
    if not given:
        raise SelectionInputError("num_clusters must hold at least one number, but is empty; the paper uses 2000")
    for number in given:
        is_integer = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not (is_integer and 1 <= number <= num_images):
            raise SelectionInputError(
                f"num_clusters must be integers from 1 to the number of images, but one is {number!r} and there are "
                f"{num_images} images; leave it out, or give more images"
            )
    return tuple(sorted({int(number) for number in given}))


def check_expected_groups(expected_ids: Iterable[int], *, num_groups: int) -> tuple[int, ...]:
    """Return the indices of the expected groups in ascending order, each once.

    Args:
      expected_ids: one or more integers from 0 to num_groups − 1.
      num_groups: K_source.

    Raises:
      SelectionInputError: no group is expected, or one that the source does not have.
    """
    groups = check_expected_ids(expected_ids)
    wrong = [group for group in groups if not 0 <= group < num_groups]
    if wrong:
        raise SelectionInputError(
            f"expected_ids must be from 0 to {num_groups - 1}, but {wrong[0]} is not; give indices of this source"
        )
    return groups


def check_expected_classes(expected_ids: Iterable[int], *, labels: NDArray[np.integer]) -> tuple[int, ...]:
    """Return the expected classes in ascending order, each once.

    Args:
      expected_ids: one or more of the labels.
      labels: (N,) integers, the class of each image.

    Raises:
      SelectionInputError: no class is expected, or one that no image has.
    """
    classes = check_expected_ids(expected_ids)
    wrong = np.setdiff1d(classes, labels)
    if wrong.size:
        raise SelectionInputError(
            f"expected_ids must be classes that images have, but {wrong[0]} is the label of none (the labels go from "
            f"{labels.min()} to {labels.max()}); leave it out, or give its images"
        )
    return classes


def check_expected_ids(expected_ids: Iterable[int]) -> tuple[int, ...]:
    """Return the ids in ascending order, each once, or say why they are none."""
    ids = np.asarray(list(expected_ids))
    if not ids.size:
        raise SelectionInputError("expected_ids must hold at least one id, but is empty; list what is to be found")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise SelectionInputError(
            f"expected_ids must be integers, but are {ids.dtype} of shape {ids.shape}; give indices, not names"
        )
    return tuple(np.unique(ids).tolist())


def check_labels(labels: ArrayLike, *, num_images: int) -> NDArray[np.integer]:
    """Return the labels as an array.

    Args:
      labels: (N,) integers.
      num_images: N.

    Raises:
      SelectionInputError: they are no integers, or not one an image.
    """
    classes = np.asarray(labels)
    if classes.shape != (num_images,) or classes.dtype.kind not in "iu":
        raise SelectionInputError(
            f"labels must be {num_images} integers, one for each row of features, but are {classes.dtype} of shape "
            f"{classes.shape}; give the class of each image"
        )
    return classes

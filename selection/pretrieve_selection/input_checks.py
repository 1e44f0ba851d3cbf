"""Check the inputs of a selection. An error says which row is wrong and what to do about it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError

FINITE = ("finite (no NaN, no infinity)", "extract its features again")
NOT_ZERO = ("different from the zero vector to have a cosine", "extract its features again, or use the cost 'l2'")
"""Rules for `refuse_rows`, each with its remedy."""


def check_centroids(centroids: ArrayLike, *, side: str, names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Return the centroids as a finite (K, D) float64 matrix, K ≥ 1, D ≥ 1.

    A SelectionInputError, whose message has the side ("source" or "target") and the name of the row, is raised where
    the matrix is not two-dimensional, is empty or not finite, or where the number of names is not the number of rows.
    """
    matrix = np.asarray(centroids, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise SelectionInputError(
            f"centroids must be a (groups, dimensions) matrix with at least one of each, but those of the "
            f"{side} have shape {matrix.shape}; give one row for each group"
        )
    if names is not None and len(names) != len(matrix):
        raise SelectionInputError(
            f"there must be one name for each row, but the {side} has {len(names)} names and {len(matrix)} "
            "rows; give as many names as rows, or none"
        )
    refuse_rows(~np.isfinite(matrix).all(axis=1), FINITE, side, names)
    return matrix


def check_sides(
    source: ArrayLike, target: ArrayLike, source_names: Sequence[str] | None, target_names: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both matrices as `check_centroids` does; an error also where their dimensions differ."""
    first = check_centroids(source, side="source", names=source_names)
    second = check_centroids(target, side="target", names=target_names)
    check_same_dimension(first, second)
    return first, second


def check_same_dimension(source: Any, target: Any) -> None:
    """Raise a SelectionInputError where the two matrices differ in their number of columns."""
    if source.shape[1] != target.shape[1]:
        raise SelectionInputError(
            f"both sides must have features of one dimension, but the source has {source.shape[1]} and the "
            f"target {target.shape[1]}; extract both with the same backbone"
        )


def check_features(features: Any, side: str | None = None) -> None:
    """Raise a SelectionInputError unless features are a floating-point (N, D) matrix with N ≥ 1 and D ≥ 1.

    Features are an array or a torch tensor; the message names the side, "source" or "target", where one is given.
    """
    is_float = features.dtype.kind == "f" if isinstance(features, np.ndarray) else features.is_floating_point()
    if features.ndim != 2 or 0 in features.shape or not is_float:
        raise SelectionInputError(
            "features must be a floating-point (images, dimensions) matrix with at least one of each, but "
            f"{f'those of the {side} ' if side else ''}are {features.dtype} of shape {tuple(features.shape)}; "
            "give one row for each image"
        )


def check_labels(labels: ArrayLike, num_rows: int) -> NDArray[Any]:
    """Return the labels as an array; a SelectionInputError is raised unless they are integers, one for each row."""
    values = np.asarray(labels)
    if values.shape != (num_rows,) or (values.size and values.dtype.kind not in "iu"):
        raise SelectionInputError(
            f"labels must be {num_rows} integers, one for each row, but are {values.dtype} of shape {values.shape}; "
            "give the class of each row"
        )
    return values


def check_scores(scores: ArrayLike, field: str = "scores", *, what: str = "group") -> NDArray[np.float64]:
    """Return the scores as float64; a SelectionInputError is raised unless they are one finite number for each group.

    The message calls the scores `field`, and what they rank `what`.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise SelectionInputError(
            f"{field} must be one number for each {what}, but the shape is {values.shape}; give a list of numbers"
        )
    for row in np.flatnonzero(~np.isfinite(values)):
        raise SelectionInputError(
            f"{field} must be finite, but that of {what} {row} is {values[row]}; check the features of this {what}"
        )
    return values


def check_top_k(top_k: int, *, num_groups: int) -> None:
    """Raise a SelectionInputError unless top_k is from 1 to num_groups."""
    if not 1 <= top_k <= num_groups:
        raise SelectionInputError(
            f"top_k must be from 1 to the number of groups, but top_k is {top_k} and there are {num_groups} "
            "groups; lower top_k, or give more groups"
        )


def refuse_rows(
    wrong: ArrayLike, rule: tuple[str, str], side: str, names: Sequence[str] | None = None, *, what: str = "centroid"
) -> None:
    """Raise a SelectionInputError that counts the wrong rows and names the first; do nothing where there is none.

    `wrong`, (rows,), is True where a row breaks the rule; `rule` is what a row must be, and what the user can do.
    """
    rows = np.flatnonzero(wrong)
    if rows.size:
        count = "1 is not" if rows.size == 1 else f"{rows.size} are not, the first"
        group = "" if names is None else f" (group {names[rows[0]]!r})"
        raise SelectionInputError(
            f"every {what} must be {rule[0]}, but {count}: row {rows[0]} of the {side}{group}; {rule[1]}"
        )

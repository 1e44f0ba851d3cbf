"""Check the inputs of a selection. An error says which row is wrong and what to do about it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError


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
    refuse_infinite_rows(~np.isfinite(matrix).all(axis=1), side, names)
    return matrix


def check_sides(
    source: ArrayLike, target: ArrayLike, source_names: Sequence[str] | None, target_names: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both matrices as `check_centroids` does; an error also where their dimensions differ."""
    first = check_centroids(source, side="source", names=source_names)
    second = check_centroids(target, side="target", names=target_names)
    check_same_dimension(first, second)
    return first, second


def check_same_dimension(source: NDArray[np.float64], target: NDArray[np.float64]) -> None:
    """Raise a SelectionInputError where the two matrices differ in their number of columns."""
    if source.shape[1] != target.shape[1]:
        raise SelectionInputError(
            f"both sides must have features of one dimension, but the source has {source.shape[1]} and the "
            f"target {target.shape[1]}; extract both with the same backbone"
        )


def check_features(features: NDArray[Any]) -> None:
    """Raise a SelectionInputError unless features are a floating-point (N, D) matrix with N ≥ 1 and D ≥ 1."""
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind != "f":
        raise SelectionInputError(
            "features must be a floating-point (images, dimensions) matrix with at least one of each, but are "
            f"{features.dtype} of shape {features.shape}; give one row for each image"
        )


def refuse_infinite_rows(
    wrong: ArrayLike, side: str, names: Sequence[str] | None = None, *, what: str = "centroid"
) -> None:
    """Raise a SelectionInputError where a row is marked as not finite; see `refuse_rows`."""
    refuse_rows(wrong, "finite (no NaN, no infinity)", side, names, "extract its features again", what=what)


def refuse_zero_rows(
    wrong: ArrayLike, side: str, names: Sequence[str] | None = None, *, what: str = "centroid"
) -> None:
    """Raise a SelectionInputError where a row is marked as the zero vector; see `refuse_rows`."""
    rule = "different from the zero vector to have a cosine"
    refuse_rows(wrong, rule, side, names, "extract its features again, or use the cost 'l2'", what=what)


def check_top_k(top_k: int, *, num_groups: int) -> None:
    """Raise a SelectionInputError unless top_k is from 1 to num_groups."""
    if not 1 <= top_k <= num_groups:
        raise SelectionInputError(
            f"top_k must be from 1 to the number of groups, but top_k is {top_k} and there are {num_groups} "
            "groups; lower top_k, or give more groups"
        )


def refuse_rows(
    wrong: ArrayLike, rule: str, side: str, names: Sequence[str] | None, remedy: str, *, what: str = "centroid"
) -> None:
    """Raise a SelectionInputError that counts the wrong rows and names the first; do nothing where there is none.

    Args:
      wrong: (rows,) boolean, True where a row breaks the rule.
      rule: what a row must be.
      side: "source" or "target".
      names: a name for each row, or None.
      remedy: what the user can do.
      what: what a row is.
    """
    rows = np.flatnonzero(wrong)
    if rows.size:
        count = "1 is not" if rows.size == 1 else f"{rows.size} are not, the first"
        group = "" if names is None else f" (group {names[rows[0]]!r})"
        raise SelectionInputError(
            f"every {what} must be {rule}, but {count}: row {rows[0]} of the {side}{group}; {remedy}"
        )

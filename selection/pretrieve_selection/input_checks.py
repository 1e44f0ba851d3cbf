"""Check the inputs of a selection, and say which row is wrong and what to do about it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError


def describe_row(side: str, row: int, names: Sequence[str] | None) -> str:
    """Name a row for a message, with its group where names are known.

    >>> describe_row("source", 17, None)
    'row 17 of the source'
    >>> describe_row("source", 0, ["n01440764 tench"])
    "row 0 of the source (group 'n01440764 tench')"
    """
    place = f"row {row} of the {side}"
    return place if names is None else f"{place} (group {names[row]!r})"


def check_centroids(centroids: ArrayLike, *, side: str, names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Return the centroids as a finite (K, D) float64 matrix, or say why they are none.

    Args:
      centroids: (K, D), K ≥ 1, D ≥ 1, any real numbers.
      side: "source" or "target", for the message.
      names: K names of the groups, for the message.

    Raises:
      SelectionInputError: not two-dimensional, empty, NaN or infinite, or another number of names than of
        rows.
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
    refuse_rows(
        ~np.isfinite(matrix).all(axis=1),
        "finite (no NaN, no infinity)",
        side,
        names,
        "extract its features again",
    )
    return matrix


def check_same_dimension(source: NDArray[np.float64], target: NDArray[np.float64]) -> None:
    """Make sure that both sides live in one feature space.

    Raises:
      SelectionInputError: the two matrices differ in their number of columns.
    """
    if source.shape[1] != target.shape[1]:
        raise SelectionInputError(
            f"both sides must have features of one dimension, but the source has {source.shape[1]} and the "
            f"target {target.shape[1]}; extract both with the same backbone"
        )


def check_no_zero_rows(matrix: NDArray[np.float64], *, side: str, names: Sequence[str] | None) -> None:
    """Make sure that every row has a direction, without which its cosine means nothing.

    Raises:
      SelectionInputError: a row holds zeros only.
    """
    refuse_rows(
        ~matrix.any(axis=1),
        "different from the zero vector to have a cosine",
        side,
        names,
        "extract its features again, or use the cost 'l2'",
    )


def check_top_k(top_k: int, *, num_groups: int) -> None:
    """Make sure that as many groups as asked for can be selected.

    Raises:
      SelectionInputError: top_k is not from 1 to num_groups.
    """
    if not 1 <= top_k <= num_groups:
        raise SelectionInputError(
            f"top_k must be from 1 to the number of groups, but top_k is {top_k} and there are {num_groups} "
            "groups; lower top_k, or give more groups"
        )


def refuse_rows(
    wrong: ArrayLike, rule: str, side: str, names: Sequence[str] | None, remedy: str, *, what: str = "centroid"
) -> None:
    """Raise an error that counts the wrong rows and names the first, or do nothing where there is none.

    Args:
      wrong: (rows,) boolean, True where a row breaks the rule.
      rule: how a row must be.
      side: "source" or "target".
      names: a name for each row, or None.
      remedy: what to do about it.
      what: what a row is.

    Raises:
      SelectionInputError: a row breaks the rule.
    """
    rows = np.flatnonzero(wrong)
    if rows.size:
        count = "1 is not" if rows.size == 1 else f"{rows.size} are not, the first"
        raise SelectionInputError(
            f"every {what} must be {rule}, but {count}: {describe_row(side, int(rows[0]), names)}; {remedy}"
        )

"""Distances between source groups and target classes, in units of `cost_scale` (the C of eq. 5)."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import NOT_ZERO, check_sides, refuse_rows


def cosine_cost(
    source: ArrayLike,
    target: ArrayLike,
    *,
    cost_scale: float,
    source_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Compare directions: C_ij = (1 − cos(a_i, b_j)) / ε_c (section 4, with ε_c = 0.01).

    Args:
      source: (K_source, D) centroids, finite, no zero vector; their lengths do not matter.
      target: (K_target, D) centroids, with the same rules.
      cost_scale: the paper's ε_c, > 0.
      source_names: K_source names of the groups, used in errors only.
      target_names: K_target names, used in errors only.

    Returns:
      (K_source, K_target) float64 in [0, 2 / cost_scale], unitless.

    Raises:
      SelectionInputError: a matrix is empty, not finite or has a zero row, the dimensions differ, or cost_scale is not
        > 0.

    >>> cosine_cost([[1.0, 0.0], [0.0, 3.0]], [[2.0, 0.0]], cost_scale=0.01).tolist()
    [[0.0], [100.0]]
    """
    first, second = check_sides(source, target, source_names, target_names)
    refuse_rows(~first.any(axis=1), NOT_ZERO, "source", source_names)
    refuse_rows(~second.any(axis=1), NOT_ZERO, "target", target_names)
    # Rounding may push the cosine of equal directions past 1, but no cost is below zero.
    return _in_units(np.clip(1.0 - _unit_rows(first) @ _unit_rows(second).T, 0.0, 2.0), cost_scale)


def euclidean_cost(
    source: ArrayLike,
    target: ArrayLike,
    *,
    cost_scale: float,
    source_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Compare positions: C_ij = ‖a_i − b_j‖₂ / ε_c (the ℓ₂ columns of Table 4), float64, ≥ 0, unitless.

    Arguments and errors are those of `cosine_cost`, but zero vectors are allowed. The norm is computed from
    differences: the expansion ‖a‖² − 2a·b + ‖b‖² loses half of the digits between close centroids.

    >>> euclidean_cost([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]], cost_scale=0.5).tolist()
    [[0.0], [10.0]]
    """
    from scipy.spatial.distance import cdist  # slow to import, which every process of a cluster would wait for

    return _in_units(cdist(*check_sides(source, target, source_names, target_names)), cost_scale)


COSTS: Mapping[str, Callable[..., NDArray[np.float64]]] = {"cosine": cosine_cost, "l2": euclidean_cost}
"""The costs by name. All take the arguments of `cosine_cost`."""


def _unit_rows(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    # Dividing by the largest entry first keeps the squares of very large or small features in the range of float64.
    scaled = matrix / np.abs(matrix).max(axis=1, keepdims=True)
    unit: NDArray[np.float64] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def _in_units(distance: NDArray[np.float64], cost_scale: float) -> NDArray[np.float64]:
    if not (math.isfinite(cost_scale) and cost_scale > 0):
        raise SelectionInputError(f"cost_scale must be finite and > 0, but is {cost_scale}; the paper uses 0.01")
    with np.errstate(over="ignore"):
        cost: NDArray[np.float64] = distance / cost_scale
    if not np.isfinite(cost).all():
        raise SelectionInputError(
            f"cost must be finite, but the largest distance, {distance.max()}, divided by the cost_scale "
            f"{cost_scale} is not; use a larger cost_scale"
        )
    return cost

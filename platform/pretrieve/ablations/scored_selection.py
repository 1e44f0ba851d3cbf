"""One selection as the part of a table's row that every sweep over selections shares."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pretrieve_selection import SelectionSettings, make_selector, recall_at_k


def select_and_score(
    source_centroids: ArrayLike,
    target_centroids: ArrayLike,
    expected_ids: Iterable[int],
    *,
    method: str,
    settings: SelectionSettings,
) -> dict[str, Any]:
    """Select `settings.top_k` groups and say how many of the expected ones are among them.

    Args:
      source_centroids: (K_source, D), finite.
      target_centroids: (K_target, D), finite.
      expected_ids: indices of source groups.
      method: name of a selector that draws nothing.
      settings: of the selection.

    Returns:
      recall in [0, 1], margin (NaN where all groups are selected), converged and iterations; see `Selection`.

    Raises:
      SelectionInputError: a shape or range above does not hold, or there are fewer groups than top_k.
    """
    # The contract of a selector asks for a generator; these methods draw nothing from it.
    rng = np.random.default_rng(0)
    selection = make_selector(method).select(
        source_centroids, target_centroids, top_k=settings.top_k, settings=settings, rng=rng
    )
    return {
        "recall": recall_at_k(selection, expected_ids),
        "margin": math.nan if selection.margin is None else selection.margin,
        "converged": selection.converged,
        "iterations": selection.iterations,
    }

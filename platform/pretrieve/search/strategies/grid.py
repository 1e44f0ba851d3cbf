"""The whole grid, as in the paper."""

from __future__ import annotations

from pretrieve.search.strategies._base import SearchStrategy


class GridStrategy(SearchStrategy):
    """Train every point of the grid to its end, as the paper does."""

    name = "grid"

"""The ranked similarity of the source's groups, with those that a good selection should find marked (figure 2b)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pretrieve_dashboards.figures import COLORS
from pretrieve_dashboards.svg import INK, empty_figure, figure_settings, write_svg


def draw_ranked_groups(title: str, groups: Sequence[int], masses: Sequence[float], expected: Collection[int]) -> str:
    """Draw the mass of each selected group by rank.

    Args:
      title: what is shown, for screen readers.
      groups: indices of the groups, best first.
      masses: P·1 of each, in the same order.
      expected: indices of the groups to be found.

    Returns:
      SVG with a text alternative.
    """
    ranks = {
        is_expected: [rank for rank, group in enumerate(groups, start=1) if (group in expected) == is_expected]
        for is_expected in (True, False)
    }
    with figure_settings():
        figure, axes = empty_figure(height_in=2.6)
        for place, (is_expected, label) in enumerate(((True, "expected"), (False, "other"))):
            heights = [masses[rank - 1] for rank in ranks[is_expected]]
            axes.bar(ranks[is_expected], heights, color=COLORS[place], alpha=1.0 if is_expected else 0.55, label=label)
        axes.set_xlabel("rank of the group")
        axes.set_ylabel("similarity P·1")
        figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor=INK, handlelength=1.2)
        found = f"{len(ranks[True])} of {len(expected)} expected groups are among the first {len(groups)}"
        last = f"; the last one has rank {ranks[True][-1]}" if ranks[True] else ""
        return write_svg(figure, title=title, alternative=f"{found}{last}.")

"""How the recall of UOT depends on the unit of its cost (Figure 4a)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
from numpy.typing import ArrayLike

from pretrieve.ablations._base import Ablation
from pretrieve.ablations.drawing import draw_line, finish, new_figure, use_log_axis
from pretrieve.ablations.input_checks import check_cost_scales, check_expected_groups, check_words
from pretrieve.ablations.scored_selection import select_and_score
from pretrieve.ablations.svg import INK, figure_settings
from pretrieve_selection import COSTS, SelectionSettings
from pretrieve_selection.input_checks import check_centroids

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def recall_over_cost_scale(
    source_centroids: ArrayLike,
    target_centroids: ArrayLike,
    expected_ids: Iterable[int],
    *,
    cost_scales: Iterable[float],
    costs: Iterable[str] = ("cosine", "l2"),
    settings: SelectionSettings | None = None,
) -> Ablation:
    """Measure the recall of UOT for each cost and each cost_scale (Figure 4a).

    cost_scale, the paper's ε_c, decides how sharply transport prefers the nearest group. Of the methods only `uot`
    depends on it: rankings by a mean or a minimum of distances stay as they are under any scale.

    Args:
      source_centroids: (K_source, D), finite; raw averages.
      target_centroids: (K_target, D), finite; likewise.
      expected_ids: indices of the source groups to be found, such as the 59 bird classes of ImageNet for CUB.
      cost_scales: one or more, > 0; repetitions count once.
      costs: one or more keys of `COSTS`; repetitions count once.
      settings: top_k and the weights of eq. 5; its cost and cost_scale do not matter. None stands for the paper's.

    Returns:
      Ablation: table with a row for each cost and, ascending, each cost_scale, and the columns cost, cost_scale, recall
      in [0, 1], margin (NaN where all groups are selected), converged, iterations; figure with a line a cost, and a
      ring around what comes from an iteration that ended early.

    Raises:
      SelectionInputError: there is no cost or no scale, one of them or of the expected ids is out of range, or the
        centroids do not fit.

    >>> source, target = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [[0.9, 0.1]]
    >>> one = SelectionSettings(top_k=1)
    >>> recall_over_cost_scale(source, target, [0], cost_scales=[0.1], settings=one).table["recall"].tolist()
    [1.0, 1.0]
    """
    names = check_words("costs", costs, COSTS)
    scales = check_cost_scales("cost_scales", cost_scales)
    source = check_centroids(source_centroids, side="source")
    expected = check_expected_groups(expected_ids, num_groups=len(source))
    base = settings or SelectionSettings()
    rows = [
        {"cost": cost, "cost_scale": scale}
        | select_and_score(
            source, target_centroids, expected, method="uot", settings=replace(base, cost=cost, cost_scale=scale)
        )
        for cost in names
        for scale in scales
    ]
    table = pd.DataFrame(rows)
    return Ablation("Recall over cost scale", table, _draw(table, top_k=base.top_k))


def _draw(table: pd.DataFrame, *, top_k: int) -> Figure:
    with figure_settings():
        figure, axes = new_figure(height_in=2.9, percent_axis="y")
        for place, (cost, rows) in enumerate(table.groupby("cost", sort=False)):
            draw_line(axes, place, rows["cost_scale"], rows["recall"], label=str(cost))
        _mark_unconverged(axes, table)
        use_log_axis(axes, sorted(set(table["cost_scale"])))
        axes.set_xlabel("cost scale ε_c")
        axes.set_ylabel(f"recall at {top_k} in %")
        return finish(figure, num_columns=3)


def _mark_unconverged(axes: Axes, table: pd.DataFrame) -> None:
    rows = table[~table["converged"]]
    if len(rows):
        axes.plot(
            rows["cost_scale"],
            100 * rows["recall"],
            "o",
            color=INK,
            fillstyle="none",
            markersize=8,
            label="unconverged",
        )

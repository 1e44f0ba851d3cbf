"""How the recall depends on the distance and the method (Table 4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import ArrayLike

from pretrieve.ablations._base import Ablation
from pretrieve.ablations.drawing import finish, new_figure
from pretrieve.ablations.input_checks import check_cost_scales, check_expected_groups, check_words
from pretrieve.ablations.scored_selection import select_and_score
from pretrieve.ablations.svg import MARKERS, figure_settings
from pretrieve_dashboards.svg_canvas import COLORS
from pretrieve_dashboards.views.scores import MAX_NAME_LENGTH
from pretrieve_selection import COSTS, SelectionInputError, SelectionSettings
from pretrieve_selection.input_checks import check_centroids

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS_WITH_A_COST = ("greedy_ot", "uot", "nearest")

PAPER_COST_SCALES: Mapping[str, float] = MappingProxyType({"cosine": 0.01, "l2": 0.1})
"""The paper's ε_c for each cost: with these its Table 4 comes out."""


def recall_by_cost_and_method(
    problems: Mapping[str, tuple[ArrayLike, ArrayLike]],
    expected_ids: Iterable[int],
    *,
    methods: Iterable[str] = ("greedy_ot", "uot"),
    costs: Iterable[str] = ("l2", "cosine"),
    cost_scales: Mapping[str, float] = PAPER_COST_SCALES,
    settings: SelectionSettings | None = None,
) -> Ablation:
    """Measure the recall of each method with each cost on each problem (the recalls of Table 4).

    Args:
      problems: name → (source centroids (K_source, D), target centroids (K_target, D)), all finite; for example one for
        each backbone. K_source and D may differ between problems, the meaning of the expected ids may not.
      expected_ids: indices of the source groups to be found, such as the 59 bird classes of ImageNet for CUB.
      methods: one or more of greedy_ot, uot and nearest; repetitions count once.
      costs: one or more keys of `COSTS`; repetitions count once.
      cost_scales: cost → cost_scale, > 0, for each of the costs; only `uot` reads it.
      settings: top_k and the weights of eq. 5; its costs and cost_scale do not matter. None stands for the paper's.

    Returns:
      Ablation: table with a row for each problem, method and cost, in the order given, and the columns problem, method,
      cost, cost_scale (NaN where the method reads none), recall in [0, 1], margin (NaN where all groups are selected),
      converged, iterations; figure with a row of dots a problem.

    Raises:
      SelectionInputError: there is no problem, method or cost, one of them, of the scales or of the expected ids is out
        of range, or the centroids of a problem do not fit; the message names the problem.

    >>> problems = {"plane": ([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [[0.9, 0.1]])}
    >>> ablation = recall_by_cost_and_method(problems, [0], costs=["l2"], settings=SelectionSettings(top_k=1))
    >>> ablation.table[["method", "cost", "recall"]].values.tolist()
    [['greedy_ot', 'l2', 1.0], ['uot', 'l2', 1.0]]
    """
    method_names = check_words("methods", methods, METHODS_WITH_A_COST)
    cost_names = check_words("costs", costs, COSTS)
    if not problems:
        raise SelectionInputError("problems must hold at least one, but is empty; give name → (source, target)")
    ids = list(expected_ids)
    variants = _variants(method_names, cost_names, cost_scales, settings or SelectionSettings())
    rows = [
        {"problem": name} | row
        for name, (source, target) in problems.items()
        for row in _rows(name, source, target, ids, variants)
    ]
    table = pd.DataFrame(rows)
    return Ablation("Recall by cost and method", table, _draw(table, top_k=variants[0][1].top_k))


def _variants(
    methods: tuple[str, ...], costs: tuple[str, ...], cost_scales: Mapping[str, float], base: SelectionSettings
) -> list[tuple[str, SelectionSettings]]:
    """Return (method, its settings) for each pair of a method and a cost."""
    scales = dict.fromkeys(costs, base.cost_scale)
    if "uot" in methods:
        scales = {cost: _scale_of(cost, cost_scales) for cost in costs}
    return [
        (method, replace(base, cost=cost, greedy_cost=cost, cost_scale=scales[cost]))
        for method in methods
        for cost in costs
    ]


def _scale_of(cost: str, cost_scales: Mapping[str, float]) -> float:
    if cost not in cost_scales:
        raise SelectionInputError(
            f"cost_scales must have a scale for each cost, but lacks {cost!r} and has {sorted(cost_scales)}; "
            f"add {cost!r}: {PAPER_COST_SCALES.get(cost, 0.01)}"
        )
    return check_cost_scales(f"cost_scales[{cost!r}]", [cost_scales[cost]])[0]


def _rows(
    problem: str,
    source_centroids: ArrayLike,
    target_centroids: ArrayLike,
    expected_ids: list[int],
    variants: list[tuple[str, SelectionSettings]],
) -> list[dict[str, Any]]:
    """Select by every variant; an error says in which problem."""
    try:
        source = check_centroids(source_centroids, side="source")
        expected = check_expected_groups(expected_ids, num_groups=len(source))
        return [
            {"method": method, "cost": each.cost, "cost_scale": each.cost_scale if method == "uot" else math.nan}
            | select_and_score(source, target_centroids, expected, method=method, settings=each)
            for method, each in variants
        ]
    except SelectionInputError as error:
        raise SelectionInputError(f"problem {problem!r}: {error}") from error


def _draw(table: pd.DataFrame, *, top_k: int) -> Figure:
    """Draw a row a problem and a dot a variant, of a colour and a shape of its own."""
    with figure_settings():
        problems = list(dict.fromkeys(table["problem"]))
        variants = list(table.groupby(["method", "cost"], sort=False))
        height_in = 0.8 + 0.2 * math.ceil(len(variants) / 2) + len(problems) * (0.24 + 0.13 * len(variants))
        figure, axes = new_figure(height_in=height_in, percent_axis="x")
        for place, ((method, cost), rows) in enumerate(variants):
            offset = 0.7 * ((place + 0.5) / len(variants) - 0.5)
            axes.plot(
                100 * rows["recall"],
                [problems.index(problem) + offset for problem in rows["problem"]],
                MARKERS[place % len(MARKERS)],
                color=COLORS[place % len(COLORS)],
                markersize=5.0,
                label=f"{method}, {cost}",
            )
        axes.set_yticks(range(len(problems)), [_short(problem) for problem in problems])
        axes.set_ylim(len(problems) - 0.5, -0.5)
        axes.set_xlabel(f"recall at {top_k} in %")
        return finish(figure, num_columns=2)


def _short(name: str) -> str:
    """Cut a name that would leave no room for the axes; the table has all of it."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"

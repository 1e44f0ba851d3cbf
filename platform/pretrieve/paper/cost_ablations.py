"""Measure the recall by the unit of the cost for UOT (Figure 4a), and by distance and method (Table 4)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pretrieve.paper.ablation import (
    COLORS,
    INK,
    MARKERS,
    Ablation,
    check_expected_ids,
    draw_line,
    figure_settings,
    finish,
    new_figure,
    use_log_axis,
)
from pretrieve_selection import (
    COSTS,
    SelectionInputError,
    SelectionSettings,
    describe_choices,
    make_selector,
    recall_at_k,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS_WITH_A_COST = ("greedy_ot", "uot", "nearest")

PAPER_COST_SCALES: Mapping[str, float] = MappingProxyType({"cosine": 0.01, "l2": 0.1})
"""The paper's ε_c for each cost. With these, the recalls of its Table 4 are reproduced."""

_MOST_NAME_LETTERS = 30


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

    cost_scale, the paper's ε_c, decides how strongly transport prefers the nearest group. Of the methods only `uot`
    depends on it: no scale changes a ranking by a mean or a minimum of distances.

    Args:
      source_centroids: (K_source, D), finite; raw averages.
      target_centroids: (K_target, D), finite; raw averages.
      expected_ids: indices of the source groups to be found, such as the 59 bird classes of ImageNet for CUB.
      cost_scales: one or more, > 0; repetitions count once.
      costs: one or more keys of `COSTS`; repetitions count once.
      settings: top_k and the weights of eq. 5; its cost and cost_scale are not used. None means the paper's.

    Returns:
      Ablation: table with a row for each cost and, ascending, each cost_scale, and the columns cost, cost_scale, recall
      in [0, 1], margin (NaN where all groups are selected), converged, iterations; figure with a line for each cost,
      and a ring around each result of an iteration that stopped early.

    Raises:
      SelectionInputError: there is no cost or no scale, one of them or of the expected ids is out of range, or the
        centroids do not fit.

    >>> source, target = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [[0.9, 0.1]]
    >>> one = SelectionSettings(top_k=1)
    >>> recall_over_cost_scale(source, target, [0], cost_scales=[0.1], settings=one).table["recall"].tolist()
    [1.0, 1.0]
    """
    names = _check_words("costs", costs, COSTS)
    scales = _check_cost_scales("cost_scales", cost_scales)
    expected = check_expected_ids(expected_ids)
    base = settings or SelectionSettings()
    variants = [("uot", replace(base, cost=cost, cost_scale=scale)) for cost in names for scale in scales]
    rows = _rows(source_centroids, target_centroids, expected, variants)
    table = pd.DataFrame(rows).drop(columns="method")
    return Ablation("Recall over cost scale", table, _draw_scales(table, top_k=base.top_k))


def _draw_scales(table: pd.DataFrame, *, top_k: int) -> Figure:
    with figure_settings():
        figure, axes = new_figure(height_in=2.9, percent_axis="y")
        for index, (cost, rows) in enumerate(table.groupby("cost", sort=False)):
            draw_line(axes, index, rows["cost_scale"], rows["recall"], label=str(cost))
        lost = table[~table["converged"]]
        if len(lost):
            ring: dict[str, Any] = {"color": INK, "fillstyle": "none", "markersize": 8, "label": "unconverged"}
            axes.plot(lost["cost_scale"], 100 * lost["recall"], "o", **ring)
        use_log_axis(axes, sorted(set(table["cost_scale"])))
        axes.set_xlabel("cost scale ε_c")
        axes.set_ylabel(f"recall at {top_k} in %")
        return finish(figure, num_columns=3)


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
        each backbone. K_source and D may differ between problems, but the expected ids must mean the same groups.
      expected_ids: as in `recall_over_cost_scale`.
      methods: one or more of greedy_ot, uot and nearest; repetitions count once.
      costs: one or more keys of `COSTS`; repetitions count once.
      cost_scales: cost → cost_scale, > 0, for each of the costs; only `uot` reads it.
      settings: top_k and the weights of eq. 5; its costs and cost_scale are not used. None means the paper's.

    Returns:
      Ablation: table with a row for each problem, method and cost, in the given order, and the columns problem, method,
      cost, cost_scale (NaN where the method reads none), and the others of `recall_over_cost_scale`; figure with a
      row of dots for each problem.

    Raises:
      SelectionInputError: there is no problem, method or cost, one of them, of the scales or of the expected ids is out
        of range, or the centroids of a problem do not fit; the message names the problem.

    >>> problems = {"plane": ([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [[0.9, 0.1]])}
    >>> ablation = recall_by_cost_and_method(problems, [0], costs=["l2"], settings=SelectionSettings(top_k=1))
    >>> ablation.table[["method", "cost", "recall"]].values.tolist()
    [['greedy_ot', 'l2', 1.0], ['uot', 'l2', 1.0]]
    """
    method_names = _check_words("methods", methods, METHODS_WITH_A_COST)
    cost_names = _check_words("costs", costs, COSTS)
    if not problems:
        raise SelectionInputError("problems must hold at least one, but is empty; give name → (source, target)")
    ids, base = list(expected_ids), settings or SelectionSettings()
    scales = dict.fromkeys(cost_names, base.cost_scale)
    for cost in cost_names if "uot" in method_names else ():
        if cost not in cost_scales:
            raise SelectionInputError(
                f"cost_scales must have a scale for each cost, but lacks {cost!r} and has {sorted(cost_scales)}; "
                f"add {cost!r}: {PAPER_COST_SCALES.get(cost, 0.01)}"
            )
        (scales[cost],) = _check_cost_scales(f"cost_scales[{cost!r}]", [cost_scales[cost]])
    variants = [
        (method, replace(base, cost=cost, greedy_cost=cost, cost_scale=scales[cost]))
        for method in method_names
        for cost in cost_names
    ]
    rows = []
    for name, (source, target) in problems.items():
        try:
            rows += [{"problem": name} | row for row in _rows(source, target, check_expected_ids(ids), variants)]
        except SelectionInputError as error:
            raise SelectionInputError(f"problem {name!r}: {error}") from error
    table = pd.DataFrame(rows)
    return Ablation("Recall by cost and method", table, _draw_problems(table, top_k=base.top_k))


def _rows(
    source_centroids: ArrayLike,
    target_centroids: ArrayLike,
    expected_ids: Iterable[int],
    variants: list[tuple[str, SelectionSettings]],
) -> list[dict[str, Any]]:
    """Select by each variant, a method and its settings; return the row of each in the table."""
    rows = []
    for method, settings in variants:
        selection = make_selector(method).select(
            source_centroids,
            target_centroids,
            top_k=settings.top_k,
            settings=settings,
            rng=np.random.default_rng(0),  # not used by these methods
        )
        row = {
            "method": method,
            "cost": settings.cost,
            "cost_scale": settings.cost_scale if method == "uot" else math.nan,
            "recall": recall_at_k(selection, expected_ids),
            "margin": math.nan if selection.margin is None else selection.margin,
            "converged": selection.converged,
            "iterations": selection.iterations,
        }
        rows.append(row)
    return rows


def _draw_problems(table: pd.DataFrame, *, top_k: int) -> Figure:
    """Draw a row for each problem, and in it a dot for each variant, which has its own colour and shape."""
    with figure_settings():
        problems = list(dict.fromkeys(table["problem"]))
        variants = list(table.groupby(["method", "cost"], sort=False))
        height_in = 0.8 + 0.2 * math.ceil(len(variants) / 2) + len(problems) * (0.24 + 0.13 * len(variants))
        figure, axes = new_figure(height_in=height_in, percent_axis="x")
        for index, ((method, cost), rows) in enumerate(variants):
            offset = 0.7 * ((index + 0.5) / len(variants) - 0.5)
            axes.plot(
                100 * rows["recall"],
                [problems.index(problem) + offset for problem in rows["problem"]],
                MARKERS[index % len(MARKERS)],
                color=COLORS[index % len(COLORS)],
                markersize=5.0,
                label=f"{method}, {cost}",
            )
        axes.set_yticks(range(len(problems)), [_short(problem) for problem in problems])
        axes.set_ylim(len(problems) - 0.5, -0.5)
        axes.set_xlabel(f"recall at {top_k} in %")
        return finish(figure, num_columns=2)


def _short(name: str) -> str:
    """Shorten a name that would take the width of the axes; the table has the whole name."""
    return name if len(name) <= _MOST_NAME_LETTERS else name[: _MOST_NAME_LETTERS - 1] + "…"


def _check_words(field: str, words: Iterable[str], allowed: Collection[str]) -> tuple[str, ...]:
    """Return the words of the argument `field` in their order, each once; an error where one is not allowed."""
    if isinstance(words, str):
        raise SelectionInputError(f"{field} must be a list, but is the single word {words!r}; write [{words!r}]")
    given = tuple(dict.fromkeys(words))
    if not given:
        raise SelectionInputError(f"{field} must hold at least one word, but is empty: {describe_choices('', allowed)}")
    for word in given:
        if word not in allowed:
            raise SelectionInputError(f"{field} must not hold {word!r}: {describe_choices(word, allowed)}")
    return given


def _check_cost_scales(field: str, scales: Iterable[float]) -> tuple[float, ...]:
    """Return the scales of the argument `field` in ascending order, each once; an error where one is out of range."""
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

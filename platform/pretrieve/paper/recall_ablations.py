"""Measure the recall of the selection by cost_scale (Figure 4a), cost and method (Table 4), or number of clusters."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pretrieve.paper.ablation_result import COLORS, INK, MARKERS, Ablation, draw_line, percent_figure, use_log_axis
from pretrieve_selection import (
    COSTS,
    Selection,
    SelectionInputError,
    SelectionSettings,
    check_features,
    cluster_features,
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
    expected = _check_expected_ids(expected_ids)
    base = settings or SelectionSettings()
    variants = [("uot", replace(base, cost=cost, cost_scale=scale)) for cost in names for scale in scales]
    rows = [_row(source_centroids, target_centroids, expected, *variant) for variant in variants]
    table = pd.DataFrame(rows).drop(columns="method")
    return Ablation("Recall over cost scale", table, _draw_scales(table, top_k=base.top_k))


def _draw_scales(table: pd.DataFrame, *, top_k: int) -> Figure:
    with percent_figure(height_in=2.9, percent_axis="y", legend_columns=3) as (figure, axes):
        for index, (cost, rows) in enumerate(table.groupby("cost", sort=False)):
            draw_line(axes, index, rows["cost_scale"], rows["recall"], label=str(cost))
        lost = table[~table["converged"]]
        if len(lost):
            ring: dict[str, Any] = {"color": INK, "fillstyle": "none", "markersize": 8, "label": "unconverged"}
            axes.plot(lost["cost_scale"], 100 * lost["recall"], "o", **ring)
        use_log_axis(axes, sorted(set(table["cost_scale"])))
        axes.set(xlabel="cost scale ε_c", ylabel=f"recall at {top_k} in %")
    return figure


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
    expected, base = _check_expected_ids(expected_ids), settings or SelectionSettings()
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
            rows += [{"problem": name} | _row(source, target, expected, *variant) for variant in variants]
        except SelectionInputError as error:
            raise SelectionInputError(f"problem {name!r}: {error}") from error
    table = pd.DataFrame(rows)
    return Ablation("Recall by cost and method", table, _draw_problems(table, top_k=base.top_k))


def _draw_problems(table: pd.DataFrame, *, top_k: int) -> Figure:
    """Draw a row for each problem, and in it a dot for each variant, which has its own colour and shape."""
    problems = list(dict.fromkeys(table["problem"]))
    variants = list(table.groupby(["method", "cost"], sort=False))
    height_in = 0.8 + 0.2 * math.ceil(len(variants) / 2) + len(problems) * (0.24 + 0.13 * len(variants))
    with percent_figure(height_in=height_in, percent_axis="x", legend_columns=2) as (figure, axes):
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
        # A longer name would take the width of the axes; the table has the whole name.
        short = [name if len(name) <= _MOST_NAME_LETTERS else name[: _MOST_NAME_LETTERS - 1] + "…" for name in problems]
        axes.set_yticks(range(len(problems)), short)
        axes.set(ylim=(len(problems) - 0.5, -0.5), xlabel=f"recall at {top_k} in %")
    return figure


@dataclass(frozen=True)
class ClusterSweep:
    """The clusterings to compare. A SelectionInputError is raised where selected_fraction is out of range.

    Attributes:
      num_clusters: one or more K, from 1 to the number of images; repetitions count once.
      seed: see `cluster_features`; the same for each K.
      selected_fraction: share of the clusters that `uot` selects, in (0, 1], rounded to a number of at least 1; the
        paper takes 200 of 2000.
      max_iterations: k-means stops after this many iterations, converged or not; ≥ 1.
    """

    num_clusters: Sequence[int]
    seed: int
    selected_fraction: float = 0.1
    max_iterations: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.selected_fraction <= 1:
            raise SelectionInputError(
                f"selected_fraction must be > 0 and at most 1, but is {self.selected_fraction}; the paper takes 0.1"
            )


def recall_over_num_clusters(
    features: ArrayLike,
    labels: ArrayLike,
    target_centroids: ArrayLike,
    expected_ids: Iterable[int],
    *,
    sweep: ClusterSweep,
    settings: SelectionSettings | None = None,
) -> Ablation:
    """Select the same share of clusters for each K of k-means, and count the images in them (cf. Table 2).

    Table 2 gives the accuracy after fine-tuning for two K; this measures before any training what the selected clusters
    hold. A cluster has no class, so the recall of Table 4 cannot be computed from clusters. But every image has a
    label, so all images are counted.

    Args:
      features: (N, D) floating point, finite, no zero row; read in parts, so it may be mapped from a file.
      labels: (N,) integers, the class of each image; used for the counts only.
      target_centroids: (K_target, D), finite; raw averages of the same features.
      expected_ids: classes whose images should be found, each the label of at least one image.
      sweep: the numbers of clusters, and how they are made and selected.
      settings: cost, cost_scale and the weights of eq. 5; its top_k is not used. None means the paper's.

    Returns:
      Ablation: table with a row for each K, ascending, and the columns
      - num_clusters, num_clusters_selected;
      - inertia_per_image: mean 1 − cos to the cluster's direction; clustering_converged;
      - smallest_cluster, largest_cluster: numbers of images;
      - num_images_selected, share_of_images: of all N; a random selection would have this `image_recall`;
      - precision: share of the selected images whose class is expected;
      - image_recall: share of the expected classes' images that are selected;
      - selection_converged.
      The figure shows the last three shares over K.

    Raises:
      SelectionInputError: a shape or range above does not hold; or, only when it is the turn of that K, features point
        in fewer than K different directions, or the members of a cluster cancel out to a zero centroid.

    >>> features = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> sweep = ClusterSweep([2], seed=0)
    >>> ablation = recall_over_num_clusters(features, [0, 1, 2, 2], [[1.0, 0.0]], [0], sweep=sweep)
    >>> ablation.table[["num_images_selected", "precision", "image_recall"]].values.tolist()
    [[2.0, 0.5, 1.0]]
    """
    matrix = np.asarray(features)
    base = settings or SelectionSettings()
    check_features(matrix)
    COSTS[base.cost](matrix[:1], target_centroids, cost_scale=1.0)  # the sides must fit, before hours of clustering
    is_expected = _find_expected(expected_ids, np.asarray(labels), num_images=len(matrix))
    numbers = _check_num_clusters(sweep.num_clusters, num_images=len(matrix))
    table = pd.DataFrame([_row_of_clusters(matrix, target_centroids, is_expected, k, sweep, base) for k in numbers])
    return Ablation("Recall over number of clusters", table, _draw_clusters(table))


def _row_of_clusters(
    features: NDArray[Any],
    target_centroids: ArrayLike,
    is_expected: NDArray[np.bool_],
    number: int,
    sweep: ClusterSweep,
    settings: SelectionSettings,
) -> dict[str, Any]:
    clusters = cluster_features(features, num_clusters=number, seed=sweep.seed, max_iterations=sweep.max_iterations)
    top_k = max(1, round(sweep.selected_fraction * number))
    selection = select_groups("uot", clusters.centroids, target_centroids, replace(settings, top_k=top_k))
    is_selected = np.isin(clusters.assignment, selection.groups)
    num_selected, num_hits = int(is_selected.sum()), int((is_selected & is_expected).sum())
    return {
        "num_clusters": number,
        "num_clusters_selected": top_k,
        "inertia_per_image": clusters.inertia[-1] / len(features),
        "clustering_converged": clusters.converged,
        "smallest_cluster": int(clusters.sizes.min()),
        "largest_cluster": int(clusters.sizes.max()),
        "num_images_selected": num_selected,
        "share_of_images": num_selected / len(features),
        "precision": num_hits / num_selected,
        "image_recall": num_hits / int(is_expected.sum()),
        "selection_converged": selection.converged,
    }


def _draw_clusters(table: pd.DataFrame) -> Figure:
    lines = {
        "image_recall": "image_recall: of the expected images, selected",
        "precision": "precision: of the selected images, expected",
        "share_of_images": "share_of_images: of all images, selected",
    }
    with percent_figure(height_in=3.3, percent_axis="y", legend_columns=1) as (figure, axes):
        for index, (column, label) in enumerate(lines.items()):
            draw_line(axes, index, table["num_clusters"], table[column], label=label)
        use_log_axis(axes, table["num_clusters"].tolist())
        axes.set(xlabel="number of clusters", ylabel="share in %")
    return figure


def _row(
    source: ArrayLike, target: ArrayLike, expected_ids: Iterable[int], method: str, settings: SelectionSettings
) -> dict[str, Any]:
    selection = select_groups(method, source, target, settings)
    return {
        "method": method,
        "cost": settings.cost,
        "cost_scale": settings.cost_scale if method == "uot" else math.nan,
        "recall": recall_at_k(selection, expected_ids),
        "margin": math.nan if selection.margin is None else selection.margin,
        "converged": selection.converged,
        "iterations": selection.iterations,
    }


def select_groups(method: str, source: ArrayLike, target: ArrayLike, settings: SelectionSettings) -> Selection:
    """Select by a method that draws nothing; source and target are (K, D) centroids."""
    rng = np.random.default_rng(0)
    return make_selector(method).select(source, target, top_k=settings.top_k, settings=settings, rng=rng)


def _check_expected_ids(expected_ids: Iterable[int]) -> tuple[int, ...]:
    """Return the ids in ascending order, each once; an error unless they are integers, at least one."""
    ids = np.asarray(list(expected_ids))
    if not ids.size:
        raise SelectionInputError("expected_ids must hold at least one id, but is empty; list what is to be found")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise SelectionInputError(
            f"expected_ids must be integers, but are {ids.dtype} of shape {ids.shape}; give indices, not names"
        )
    return tuple(np.unique(ids).tolist())


def _find_expected(expected_ids: Iterable[int], labels: NDArray[Any], *, num_images: int) -> NDArray[np.bool_]:
    """Return whether the class of each image is expected, (N,)."""
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise SelectionInputError(
            f"labels must be {num_images} integers, one for each row of features, but are {labels.dtype} of shape "
            f"{labels.shape}; give the class of each image"
        )
    classes = _check_expected_ids(expected_ids)
    wrong = np.setdiff1d(classes, labels)
    if wrong.size:
        raise SelectionInputError(
            f"expected_ids must be classes that images have, but {wrong[0]} is the label of none (the labels go from "
            f"{labels.min()} to {labels.max()}); leave it out, or give its images"
        )
    return np.isin(labels, classes)


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


def _check_cost_scales(field: str, scales: Iterable[float]) -> list[float]:
    """Return the scales of the argument `field` in ascending order, each once; an error where one is out of range."""
    given = list(scales)
    if not given:
        raise SelectionInputError(f"{field} must hold at least one number, but is empty; the paper uses 0.01")
    for index, scale in enumerate(given):
        is_number = isinstance(scale, (int, float, np.integer, np.floating)) and not isinstance(scale, bool)
        if not (is_number and math.isfinite(scale) and scale > 0):
            raise SelectionInputError(
                f"{field} must be finite numbers > 0, but number {index} of them is {scale!r}; the paper uses 0.01"
            )
    return sorted({float(scale) for scale in given})


def _check_num_clusters(given: Sequence[int], *, num_images: int) -> list[int]:
    if not given:
        raise SelectionInputError("num_clusters must hold at least one number, but is empty; the paper uses 2000")
    for number in given:
        is_integer = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not (is_integer and 1 <= number <= num_images):
            raise SelectionInputError(
                f"num_clusters must be integers from 1 to the number of images, but one is {number!r} and there are "
                f"{num_images} images; leave it out, or give more images"
            )
    return sorted({int(number) for number in given})

"""Measure how well clusters find the images of the expected classes, by their number (section 4.4; Table 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pretrieve.paper.ablation import (
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
    Clusters,
    Selection,
    SelectionInputError,
    SelectionSettings,
    check_features,
    cluster_features,
    make_selector,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recall_over_num_clusters(
    features: ArrayLike,
    labels: ArrayLike,
    target_centroids: ArrayLike,
    expected_ids: Iterable[int],
    *,
    num_clusters: Iterable[int],
    seed: int,
    selected_fraction: float = 0.1,
    cluster_iterations: int = 25,
    settings: SelectionSettings | None = None,
    on_iteration: Callable[[int, int, float], None] | None = None,
    on_done: Callable[[Mapping[str, Any]], None] | None = None,
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
      num_clusters: one or more K, from 1 to N; repetitions count once.
      seed: see `cluster_features`; the same for each K.
      selected_fraction: share of the clusters that `uot` selects, in (0, 1], rounded to a number of at least 1; the
        paper takes 200 of 2000.
      cluster_iterations: k-means stops after this many iterations, converged or not; ≥ 1.
      settings: cost, cost_scale and the weights of eq. 5; its top_k is not used. None means the paper's.
      on_iteration: called with K, the number of each iteration of its k-means, from 1, and the inertia per image.
      on_done: called with the table's row of each K.

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
    >>> ablation = recall_over_num_clusters(features, [0, 1, 2, 2], [[1.0, 0.0]], [0], num_clusters=[2], seed=0)
    >>> ablation.table[["num_images_selected", "precision", "image_recall"]].values.tolist()
    [[2.0, 0.5, 1.0]]
    """
    matrix = np.asarray(features)
    base = settings or SelectionSettings()
    check_features(matrix)
    COSTS[base.cost](matrix[:1], target_centroids, cost_scale=1.0)  # the sides must fit, before hours of clustering
    if not 0 < selected_fraction <= 1:
        raise SelectionInputError(
            f"selected_fraction must be > 0 and at most 1, but is {selected_fraction}; the paper takes 0.1"
        )
    is_expected = _find_expected(expected_ids, np.asarray(labels), num_images=len(matrix))
    rows = []
    for number in _check_num_clusters(num_clusters, num_images=len(matrix)):

        def notify(iteration: int, inertia: float, number: int = number) -> None:
            if on_iteration is not None:
                on_iteration(number, iteration, inertia / len(matrix))

        clusters = cluster_features(
            matrix, num_clusters=number, seed=seed, max_iterations=cluster_iterations, on_iteration=notify
        )
        top_k = max(1, round(selected_fraction * number))
        selection = make_selector("uot").select(
            clusters.centroids,
            target_centroids,
            top_k=top_k,
            settings=replace(base, top_k=top_k),
            rng=np.random.default_rng(0),  # not used by uot
        )
        rows.append(_row(clusters, selection, is_expected))
        if on_done is not None:
            on_done(rows[-1])
    table = pd.DataFrame(rows)
    return Ablation("Recall over number of clusters", table, _draw(table))


def _row(clusters: Clusters, selection: Selection, is_expected: NDArray[np.bool_]) -> dict[str, Any]:
    num_images = len(clusters.assignment)
    is_selected = np.isin(clusters.assignment, selection.groups)
    num_selected = int(is_selected.sum())
    num_hits = int((is_selected & is_expected).sum())
    return {
        "num_clusters": len(clusters.sizes),
        "num_clusters_selected": len(selection.groups),
        "inertia_per_image": clusters.inertia[-1] / num_images,
        "clustering_converged": clusters.converged,
        "smallest_cluster": int(clusters.sizes.min()),
        "largest_cluster": int(clusters.sizes.max()),
        "num_images_selected": num_selected,
        "share_of_images": num_selected / num_images,
        "precision": num_hits / num_selected,
        "image_recall": num_hits / int(is_expected.sum()),
        "selection_converged": selection.converged,
    }


def _draw(table: pd.DataFrame) -> Figure:
    lines = {
        "image_recall": "image_recall: of the expected images, selected",
        "precision": "precision: of the selected images, expected",
        "share_of_images": "share_of_images: of all images, selected",
    }
    with figure_settings():
        figure, axes = new_figure(height_in=3.3, percent_axis="y")
        for index, (column, label) in enumerate(lines.items()):
            draw_line(axes, index, table["num_clusters"], table[column], label=label)
        use_log_axis(axes, table["num_clusters"].tolist())
        axes.set_xlabel("number of clusters")
        axes.set_ylabel("share in %")
        return finish(figure, num_columns=1)


def _check_num_clusters(num_clusters: Iterable[int], *, num_images: int) -> tuple[int, ...]:
    given = list(num_clusters)
    if not given:
        raise SelectionInputError("num_clusters must hold at least one number, but is empty; the paper uses 2000")
    for number in given:
        is_integer = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not (is_integer and 1 <= number <= num_images):
            raise SelectionInputError(
                f"num_clusters must be integers from 1 to the number of images, but one is {number!r} and there are "
                f"{num_images} images; leave it out, or give more images"
            )
    return tuple(sorted({int(number) for number in given}))


def _find_expected(expected_ids: Iterable[int], labels: NDArray[Any], *, num_images: int) -> NDArray[np.bool_]:
    """Return whether the class of each image is expected, (N,)."""
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise SelectionInputError(
            f"labels must be {num_images} integers, one for each row of features, but are {labels.dtype} of shape "
            f"{labels.shape}; give the class of each image"
        )
    classes = check_expected_ids(expected_ids)
    wrong = np.setdiff1d(classes, labels)
    if wrong.size:
        raise SelectionInputError(
            f"expected_ids must be classes that images have, but {wrong[0]} is the label of none (the labels go from "
            f"{labels.min()} to {labels.max()}); leave it out, or give its images"
        )
    return np.isin(labels, classes)

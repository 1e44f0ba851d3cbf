from __future__ import annotations

import math

import numpy as np
import pytest

from pretrieve.paper import recall_ablations
from pretrieve.paper.recall_ablations import ClusterSweep, recall_over_num_clusters
from pretrieve_selection import SelectionInputError, SelectionSettings, cluster_features, make_selector

# Twelve images of exactly three directions, so that three clusters are known whatever they start from.
DIRECTIONS = np.repeat(np.arange(3), [5, 4, 3])
FEATURES = np.eye(3)[DIRECTIONS] * np.arange(1.0, 13.0)[:, None]
# One image of class 1 lies among those of class 0, and one of class 0 elsewhere.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 2, 2, 2])
TARGET = np.array([[1.0, 0.1, 0.0], [1.0, 0.0, 0.1]])


def test_images_of_the_selected_clusters_are_counted_exactly():
    table = recall_over_num_clusters(FEATURES, LABELS, TARGET, [0], sweep=ClusterSweep([3], seed=0)).table
    (row,) = table.to_dict("records")
    assert row.pop("inertia_per_image") == pytest.approx(0.0, abs=1e-6)
    assert row == {
        "num_clusters": 3,
        "num_clusters_selected": 1,
        "clustering_converged": True,
        "smallest_cluster": 3,
        "largest_cluster": 5,
        "num_images_selected": 5,
        "share_of_images": 5 / 12,
        "precision": 4 / 5,
        "image_recall": 4 / 5,
        "selection_converged": True,
    }


def test_one_cluster_selects_everything():
    features = np.eye(3)[np.repeat(np.arange(3), 4)]
    table = recall_over_num_clusters(features, LABELS, TARGET, [0, 2], sweep=ClusterSweep([1], seed=0)).table
    (row,) = table.to_dict("records")
    assert (row["share_of_images"], row["precision"], row["image_recall"]) == (1.0, 8 / 12, 1.0)
    assert row["inertia_per_image"] == pytest.approx(1 - 1 / math.sqrt(3), abs=1e-6)


def test_the_same_share_of_clusters_is_selected_for_each_number_and_at_least_one(rng):
    features, labels = rng.normal(size=(60, 4)), np.arange(60) % 3
    sweep = ClusterSweep([20, 2, 10, 20], seed=1, selected_fraction=0.3)
    table = recall_over_num_clusters(features, labels, features[:2], [0], sweep=sweep).table
    assert table["num_clusters"].tolist() == [2, 10, 20]
    assert table["num_clusters_selected"].tolist() == [1, 3, 6]


def test_counts_agree_with_clustering_and_selecting_by_hand(rng):
    features, labels = rng.normal(size=(200, 5)).astype(np.float32), rng.integers(0, 7, 200)
    settings = SelectionSettings(cost="l2", cost_scale=0.3)
    sweep = ClusterSweep([12], seed=4, selected_fraction=0.25)
    table = recall_over_num_clusters(features, labels, features[:3], [2, 5], sweep=sweep, settings=settings).table
    clusters = cluster_features(features, num_clusters=12, seed=4)
    selection = make_selector("uot").select(
        clusters.centroids, features[:3], top_k=3, settings=settings, rng=np.random.default_rng(0)
    )
    chosen = [image for image in range(200) if clusters.assignment[image] in selection.groups]
    hits = [image for image in chosen if labels[image] in (2, 5)]
    (row,) = table.to_dict("records")
    assert row["num_images_selected"] == len(chosen)
    assert row["precision"] == len(hits) / len(chosen)
    assert row["image_recall"] == len(hits) / sum(label in (2, 5) for label in labels)
    assert (row["smallest_cluster"], row["largest_cluster"]) == (min(clusters.sizes), max(clusters.sizes))


def test_clustering_that_ends_early_is_marked(rng):
    features = rng.normal(size=(100, 4))
    sweep = ClusterSweep([10], seed=0, max_iterations=1)
    table = recall_over_num_clusters(features, np.zeros(100, dtype=int), features[:1], [0], sweep=sweep).table
    assert table["clustering_converged"].tolist() == [False]


def test_the_same_seed_gives_the_same_table(rng):
    features, labels = rng.normal(size=(80, 4)), np.arange(80) % 4
    first, second = (
        recall_over_num_clusters(features, labels, features[:2], [1], sweep=ClusterSweep([4, 9], seed=3)).table
        for _ in range(2)
    )
    assert first.equals(second)


def test_the_three_shares_are_drawn_in_percent_over_the_number_of_clusters():
    ablation = recall_over_num_clusters(FEATURES, LABELS, TARGET, [0], sweep=ClusterSweep([1, 3], seed=0))
    (axes,) = ablation.figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "3"]
    drawn = {line.get_label().split(":")[0]: line.get_ydata() for line in axes.lines}
    assert set(drawn) == {"image_recall", "precision", "share_of_images"}
    for column, percent in drawn.items():
        np.testing.assert_allclose(percent, 100 * ablation.table[column])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:-1]}, r"labels must be 12 integers, one for each row of features, .* shape \(11,\)"),
        ({"labels": LABELS.astype(float)}, "labels must be 12 integers, .* are float64"),
        ({"expected_ids": []}, "expected_ids must hold at least one id, but is empty"),
        ({"expected_ids": [0, 3]}, r"3 is the label of none \(the labels go from 0 to 2\); leave it out"),
        ({"sweep": {"num_clusters": []}}, "num_clusters must hold at least one number, but is empty"),
        (
            {"sweep": {"num_clusters": [3, 13]}},
            "num_clusters must be integers from 1 .* one is 13 and there are 12 images",
        ),
        ({"sweep": {"num_clusters": [0]}}, "num_clusters must be integers from 1 .* one is 0"),
        ({"sweep": {"num_clusters": [2.5]}}, "num_clusters must be integers from 1 .* one is 2.5"),
        ({"sweep": {"selected_fraction": 0.0}}, "selected_fraction must be > 0 and at most 1, but is 0.0"),
        ({"sweep": {"selected_fraction": 1.5}}, "selected_fraction must be > 0 and at most 1, but is 1.5"),
        ({"sweep": {"max_iterations": 0}}, "max_iterations must be at least 1, but is 0"),
        ({"features": FEATURES[0]}, r"features must be a floating-point \(images, dimensions\) matrix"),
        ({"target_centroids": TARGET[:, :2]}, "the source has 3 and the target 2"),
        ({"target_centroids": np.zeros((1, 3))}, "zero vector .* row 0 of the target"),
    ],
)
def test_bad_input_is_refused_before_anything_is_clustered(changes, message, monkeypatch):
    if "max_iterations" not in changes.get("sweep", {}):  # which the clustering itself refuses
        monkeypatch.delattr(recall_ablations, "cluster_features")
    given = {"features": FEATURES, "labels": LABELS, "target_centroids": TARGET, "expected_ids": [0], "sweep": {}}
    given |= changes
    with pytest.raises(SelectionInputError, match=message):
        recall_over_num_clusters(**given | {"sweep": ClusterSweep(**{"num_clusters": [3], "seed": 0} | given["sweep"])})

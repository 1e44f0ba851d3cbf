"""What test images contribute to a score, and the contrasts of two rows, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pretrieve.data.metric_words import find_metrics
from pretrieve.metrics import Metric
from pretrieve.records.predictions import KeptPredictions, write_predictions
from pretrieve.stages.verdict import images_tested, judge

IMAGES = ["a", "b", "c", "d"]
LABELS = [0, 0, 0, 1]


def predictions(predicted: list[int], images: list[str] = IMAGES) -> KeptPredictions:
    return KeptPredictions(
        key="k",
        target="t",
        method="m",
        seed=0,
        class_names=("x", "y"),
        made_with={},
        images=np.array(images),
        labels=np.array(LABELS, dtype=np.int32),
        scores=np.eye(2, dtype=np.float32)[predicted] * 4,
    )


def metric(word: str) -> Metric:
    return find_metrics([word])[0]


@pytest.mark.parametrize("word", ["top1", "mean_per_class"])
def test_contributions_add_up_to_the_metric(word: str) -> None:
    kept = predictions([0, 1, 0, 1])
    tested = images_tested(kept, metric(word))
    score = metric(word).compute(kept.scores.astype(float), kept.labels.astype(np.int64))
    assert float((tested.weights * tested.values).sum()) == pytest.approx(score)


def test_a_metric_that_is_no_mean_over_images_gives_pseudo_values() -> None:
    kept = predictions([0, 1, 0, 1])
    tested = images_tested(kept, metric("macro_f1"))
    assert not set(tested.values.tolist()) <= {0.0, 1.0}
    assert len(tested.values) == 4


def test_an_image_that_is_listed_twice_counts_twice() -> None:
    tested = images_tested(predictions([0, 1, 0, 1], ["a", "b", "a", "a"]), metric("top1"))
    assert list(tested.identities) == ["a/0", "b/0", "a/0#2", "a/1"]


def test_contrasts_on_the_average_come_first(tmp_path: Path) -> None:
    right = {  # of four images, by target, row and repeat
        ("t1", "uot"): ([0, 0, 0, 1], [0, 0, 0, 1]),
        ("t1", "finetune"): ([0, 0, 1, 1], [1, 1, 0, 1]),
        ("t2", "uot"): ([0, 0, 0, 1], [1, 0, 0, 1]),
        ("t2", "finetune"): ([0, 0, 0, 1], [0, 0, 0, 1]),
    }
    kept = {}
    for (target, row), repeats in right.items():
        for repeat, predicted in enumerate(repeats):
            kept[target, row, repeat] = tmp_path / f"{target}-{row}-{repeat}"
            write_predictions(kept[target, row, repeat], predictions(predicted))
    metrics = {name: metric("top1") for name in ("t1", "t2")}
    found = judge([("uot", "finetune")], metrics, kept, [0, 1])
    assert [(each.target, each.difference.scores.tolist()) for each in found] == [
        (None, [0.125, 0.125]),  # the means of the two targets below, repeat by repeat
        ("t1", [0.25, 0.5]),
        ("t2", [0.0, -0.25]),
    ]
    alone = judge([("uot", "finetune")], {"t1": metric("top1")}, kept, [1, 0])
    assert [(each.target, each.difference.scores.tolist()) for each in alone] == [("t1", [0.5, 0.25])]

"""What racing saves and loses: `search: race` against the full nested search, on few labelled photographs.

    python benchmarks/racing.py --photos ../shared/data/photos --regimes dtd10,monkeys10,cifar10 --repeats 0-99
    python benchmarks/racing.py --photos … --row finetune --repeats 0-4
    python benchmarks/racing.py --regimes generated
    python benchmarks/racing.py --show --levels 0.05,0.1,0.2,0.3

A repeat draws a regime's labelled images from its training images, and divides them into five folds. Each configuration
of the row's grid is trained on the other folds and scores each fold, as a study does, and is trained on all of them and
scores the test images. Both searches then choose from the same numbers. The loss is the test score of what the full
search chose minus that of what the race chose; the cost is the race's CPU seconds of training folds, divided by those
of the full search. Each repeat is written to `--results` as soon as it is done, and is not run again, so the benchmark
may be run in pieces. It prints both for each regime and over all, with a 90 % t interval of the paired loss. The regime
`generated` has Gaussian features in place of photographs, and takes a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recipe_folds import START, Images, architecture, decoded, features_of, put, trunk
from recipes import REGIMES
from replication import write_trees
from scipy.stats import t
from torch import Tensor

from pretrieve.artifacts.keys import derived_seed
from pretrieve.components import OBJECTIVES
from pretrieve.components.hyperparameters import L2
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.folds import make_folds
from pretrieve.data.image_table import labels_of
from pretrieve.data.metric_words import find_metrics
from pretrieve.data.regimes import Regime, draw_regime
from pretrieve.metrics import Metric
from pretrieve.search.strategies.race import RaceStrategy
from pretrieve.stages.image_scores import score_parts
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.linear_heads import logistic_regression
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

NUM_FOLDS = 5
GRIDS: dict[str, tuple[float, ...]] = {"linear_probe": L2.grid, "finetune": (0.001, 0.003, 0.0003, 0.01)}
"""The values of `l2`, or of `lr`, in the order in which equal scores prefer them."""


GENERATED = "generated"
KNOWN: dict[str, dict[str, Any]] = {**REGIMES, GENERATED: {"regime": {"images_per_class": 16}}}


@dataclass(frozen=True)
class RegimeImages:
    """The images of one regime in memory: those that may be drawn, and those of the test split."""

    pool: Images
    pool_features: Tensor
    test: Images
    test_features: Tensor
    num_classes: int
    metric: Metric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder with photos.py, px32/*.npz and px64/*.npz")
    parser.add_argument("--row", choices=GRIDS, default="linear_probe")
    parser.add_argument("--regimes", default=",".join(REGIMES))
    parser.add_argument("--repeats", default="0-99", help="first and last")
    parser.add_argument("--levels", default=str(RaceStrategy().level), help="levels of the race's test to compare")
    parser.add_argument("--results", type=Path, default=Path("racing-results"), help="folder of a file a repeat")
    parser.add_argument("--storage", type=Path, default=Path("pretrieve-runs"), help="where trees and features go")
    parser.add_argument("--show", action="store_true", help="only print what the results hold")
    arguments = parser.parse_args()
    if not arguments.show:
        if arguments.photos is None and arguments.regimes != GENERATED:
            sys.exit("the photographs must be given: --photos FOLDER")
        torch.set_num_threads(1)
        storage = arguments.storage.absolute()
        if arguments.photos is not None:
            write_trees(arguments.photos, storage / "photo_trees")
        arguments.results.mkdir(parents=True, exist_ok=True)
        first, _, last = arguments.repeats.partition("-")
        for repeat in range(int(first), int(last or first) + 1):
            for regime in arguments.regimes.split(","):
                path = arguments.results / f"{arguments.row}-{regime}-{repeat:03}.json"
                if not path.exists():
                    found = run_repeat(read_regime(storage, regime), arguments.row, regime, repeat)
                    path.write_text(json.dumps(found) + "\n", encoding="utf-8")
                    print(f"{path.stem}: {sum(map(sum, found['seconds'])):.1f} s of folds", flush=True)
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(arguments.results.glob("*.json"))]
    for row in GRIDS:
        if own := [each for each in kept if each["row"] == row]:
            show(own, row, [float(level) for level in arguments.levels.split(",")])


def run_repeat(images: RegimeImages, row: str, regime: str, repeat: int) -> dict[str, Any]:
    """Train every configuration on every fold, and on all labelled images."""
    limits = Regime(**KNOWN[regime]["regime"])
    labels = images.pool.labels.numpy()
    names = [str(number) for number in range(images.num_classes)]
    drawn = np.flatnonzero(
        draw_regime({"train": labels}, limits, seed=repeat, set_name=regime, class_names=names)["train"]
    )
    folds = make_folds(
        labels[drawn], names=[f"{each:06}" for each in drawn], num_folds=NUM_FOLDS, seed=repeat, set_name=regime
    ).numbers
    train(images, "linear_probe", L2.grid[0], drawn, repeat)  # the first fit imports scikit-learn
    parts, seconds, tested = [], [], []
    for value in GRIDS[row]:
        logits, took = [], []
        for fold in range(NUM_FOLDS):
            started = time.process_time()  # which other programs of the machine do not lengthen
            learned, held_out = drawn[folds != fold], drawn[folds == fold]
            logits.append(train(images, row, value, learned, repeat)(held_out))
            took.append(time.process_time() - started)
        seconds.append(took)
        # A race knows the images of the folds so far; their weights depend on how many there are.
        parts.append([of_folds(images, logits[:number], drawn, folds) for number in range(1, NUM_FOLDS + 1)])
        whole = train(images, row, value, drawn, repeat)(None)
        tested.append(images.metric.compute(whole.double().numpy(), images.test.labels.numpy()))
    return {"row": row, "regime": regime, "repeat": repeat, "parts": parts, "seconds": seconds, "tested": tested}


def of_folds(images: RegimeImages, logits: list[Tensor], drawn: NDArray[Any], folds: NDArray[Any]) -> list[float]:
    rows = np.concatenate([drawn[folds == fold] for fold in range(len(logits))])
    outputs, labels = torch.cat(logits).double().numpy(), images.pool.labels[rows].numpy()
    return [round(part, 6) for part in score_parts(outputs, labels, images.metric).tolist()]


Predict = Callable[[NDArray[Any] | None], Tensor]
"""Returns the logits of rows of the pool, or of the test images."""


def train(images: RegimeImages, row: str, value: float, rows: NDArray[Any], seed: int) -> Predict:
    features, labels = images.pool_features[rows], images.pool.labels[rows]
    l2 = value if row == "linear_probe" else 30.0
    head = logistic_regression(features, labels, num_classes=images.num_classes, l2=l2)
    if row == "linear_probe":

        def of_features(rows: NDArray[Any] | None) -> Tensor:
            found = images.test_features if rows is None else images.pool_features[rows]
            return found @ head.weight.T + head.bias

        return of_features
    network = TwoHeadNetwork(
        trunk(),
        feature_dim=architecture().feature_dim,
        num_target_classes=images.num_classes,
        num_source_classes=0,
        generator=torch.Generator().manual_seed(seed),
    )
    put(head, network.target_head)
    point = Hyperparameters(lr=value, weight_decay=1e-4, head_lr_ratio=1.0)
    work = FineTuning(
        network=network,
        objective=OBJECTIVES.find("finetune").build(point, None),
        target=Images(images.pool.pixels[rows], labels),
        source=None,
        preprocessing=architecture().preprocessing,
        settings=TrainingSettings(**START["training"]),
        hyperparameters=point,
        seed=derived_seed(seed, "racing") % 2**31,
        device=torch.device("cpu"),
    )
    fine_tune(work)

    def of_pixels(rows: NDArray[Any] | None) -> Tensor:
        found = images.test if rows is None else Images(images.pool.pixels[rows], images.pool.labels[rows])
        return predict_logits(network, found, work.preprocessing, work.device)

    return of_pixels


@cache
def read_regime(storage: Path, regime: str) -> RegimeImages:
    """Decode the images of a regime, and extract their features once."""
    if regime == GENERATED:
        return generated()
    path = storage / "racing_features" / f"{regime}.npz"
    splits = load_folder_tree(storage / "photo_trees" / regime, name=regime).splits
    (metric,) = find_metrics([REGIMES[regime].get("metric", "top1")])
    sets = {split: decoded(splits[split]) for split in ("train", "test")}
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{split: features_of(each).numpy() for split, each in sets.items()})
    with np.load(path) as kept:
        features = {split: torch.from_numpy(kept[split]) for split in sets}
    num_classes = int(labels_of(splits["train"]).max()) + 1
    return RegimeImages(sets["train"], features["train"], sets["test"], features["test"], num_classes, metric)


def generated(num_classes: int = 10, dim: int = 64) -> RegimeImages:
    """Draw features around the means of classes, and no pixels."""
    draws = torch.Generator().manual_seed(0)
    means = 0.35 * torch.randn(num_classes, dim, generator=draws)
    labels = [torch.arange(num_classes).repeat(count) for count in (100, 400)]
    features = [means[each] + torch.randn(len(each), dim, generator=draws) for each in labels]
    pool, test = (Images(torch.empty(0), each) for each in labels)
    (metric,) = find_metrics(["top1"])
    return RegimeImages(pool, features[0], test, features[1], num_classes, metric)


def race(kept: dict[str, Any], level: float) -> tuple[int, float]:
    """Return the configuration that a race chooses, and its share of the seconds of the full search."""
    left, strategy, seconds = list(range(len(kept["tested"]))), RaceStrategy(level=level), 0.0
    for fold in range(NUM_FOLDS):
        seconds += sum(kept["seconds"][each][fold] for each in left)
        scores = np.array([kept["parts"][each][fold] for each in left])
        if fold == NUM_FOLDS - 1 or len(left) == 1:
            if fold < NUM_FOLDS - 1:
                seconds += sum(kept["seconds"][left[0]][fold + 1 :])
            return left[int(np.argmax(scores.mean(axis=1).round(9)))], seconds / sum(map(sum, kept["seconds"]))
        left = [each for each, drops in zip(left, strategy.behind(scores), strict=True) if not drops]
    raise AssertionError("a race ends at its last fold")


def show(kept: list[dict[str, Any]], row: str, levels: list[float]) -> None:
    print(f"\n{row}: {len(GRIDS[row])} configurations, {NUM_FOLDS} folds")
    print(f"{'level':>6}  {'regime':12}{'repeats':>8}{'seconds':>9}{'loss, points':>14}  90 % interval")
    for level in levels:
        regimes = [each for each in KNOWN if any(found["regime"] == each for found in kept)]
        for name, own in [
            *((regime, [each for each in kept if each["regime"] == regime]) for regime in regimes),
            ("all", kept),
        ]:
            raced = [race(each, level) for each in own]
            full = [full_search(each) for each in own]
            losses = [
                100 * (each["tested"][whole] - each["tested"][chosen])
                for each, whole, (chosen, _) in zip(own, full, raced, strict=True)
            ]
            ratio, loss = np.mean([share for _, share in raced]), np.mean(losses)
            half = t.ppf(0.95, len(own) - 1) * np.std(losses, ddof=1) / len(own) ** 0.5 if len(own) > 1 else np.nan
            interval = f"{loss - half:+.3f} to {loss + half:+.3f}"
            print(f"{level:6.2f}  {name:12}{len(own):8}{ratio:9.2f}{loss:+14.3f}  {interval}")


def full_search(kept: dict[str, Any]) -> int:
    return int(np.argmax(np.array([parts[-1] for parts in kept["parts"]]).mean(axis=1).round(9)))


if __name__ == "__main__":
    main()

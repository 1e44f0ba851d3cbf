"""What ASHA loses by its rungs: whole grids trained once, and stopped afterwards in many ways.

    python benchmarks/search_rungs.py

Trains the grids of `search_strategies.py` to their ends, and plays the learning curves of each cell to ASHA's scheduler
with other first rungs and other steps between them, one trial at a time, in 20 drawn orders. Prints the epochs that are
trained as a share of the grid's, and by how many points the best validation score is below the grid's, on average over
cells and orders. A validation set of 20 images tells scores that are 5 points apart, and none in between.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import TrialScheduler
from search_strategies import study_of

from pretrieve.metric_names import EPOCH
from pretrieve.search.strategies.asha import AshaStrategy
from pretrieve.tracking import schema

NUM_ORDERS = 20
NO_CONTROLLER: Any = None

Curve = Sequence[float]
"""Validation scores of one trial, epoch by epoch, in [0, 1]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["greek", "symbols", "digits"], help="targets of the demo")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = study_of("grid", arguments.targets, Path(folder))
        study.run()
        cells = [
            [[score for _, score in trial.curve] for trial in cell.trials if trial.state == "finished"]
            for cell in study.record(with_curves=True).cells
        ]
    print(f"{len(cells)} cells, {sum(len(cell) for cell in cells)} trials, in {NUM_ORDERS} orders each")
    print(f"{'first rung':>10} {'factor':>7} {'of the grid':>12} {'points':>8}")
    for grace in (1, 2, 3, 4, 5):
        for factor in (2, 3, 4):
            share, points = played(cells, AshaStrategy(grace_epochs=grace, reduction_factor=factor))
            print(f"{grace:10d} {factor:7d} {share:12.2f} {points:8.2f}")


def played(cells: Sequence[Sequence[Curve]], strategy: AshaStrategy) -> tuple[float, float]:
    """Return the share of the epochs that is trained and the points that are lost, on average."""
    shares, points = [], []
    for cell in cells:
        best, total = max(curve[-1] for curve in cell), sum(len(curve) for curve in cell)
        for seed in range(NUM_ORDERS):
            trained, found = search(random.Random(seed).sample(cell, len(cell)), strategy)
            shares.append(trained / total)
            points.append(100 * (best - found))
    return sum(shares) / len(shares), sum(points) / len(points)


def search(curves: Sequence[Curve], strategy: AshaStrategy) -> tuple[int, float]:
    """Return how many epochs are trained, and the best score of a trial that reached its end."""
    num_epochs = len(curves[0])
    scheduler, trained, best = strategy.scheduler(num_epochs), 0, 0.0
    for number, curve in enumerate(curves):
        trial: Any = SimpleNamespace(trial_id=str(number))
        scheduler.on_trial_add(NO_CONTROLLER, trial)
        for epoch, score in enumerate(curve, start=1):
            trained += 1
            told = {EPOCH: epoch, schema.VAL_SCORE: score}
            if epoch == num_epochs:
                scheduler.on_trial_complete(NO_CONTROLLER, trial, told)
                best = max(best, score)
            elif scheduler.on_trial_result(NO_CONTROLLER, trial, told) == TrialScheduler.STOP:
                break
    return trained, best


if __name__ == "__main__":
    main()

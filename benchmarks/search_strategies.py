"""What a search costs beside the whole grid, and what it loses: the same cells, searched three times.

    python benchmarks/search_strategies.py

Runs one study on the built-in data by `grid`, `asha` and `optuna`, each in a folder of its own over one cache, with one
trial for each core. Prints the seconds of its trials as a share of the grid's, and by how many points the best
validation scores of the cells are apart from the grid's, up or down, on average.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from pretrieve import Study
from pretrieve.records import StudyRecord

SEARCHES: dict[str, Any] = {"grid": "grid", "asha": "asha", "optuna": {"strategy": "optuna", "num_trials": 12}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["greek"], help="targets of the demo")
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        records = {name: study_of(name, arguments.targets, Path(folder)).run() for name in SEARCHES}
    print(f"{'search':8} {'trials':>7} {'stopped':>8} {'trial seconds':>14} {'of the grid':>12} {'points':>8}")
    for name, record in records.items():
        print(line(name, record, records["grid"]))
    print(f"in {time.perf_counter() - started:.0f} s")


def study_of(search: str, targets: list[str], storage: Path) -> Study:
    """Make the study of one search, named like it."""
    augmentation = {"crop_area": [0.6, 1.0], "flip": False}
    pretraining = {"epochs": 4, "batch_size": 128, "lr": 0.1, "weight_decay": 1e-4, "augmentation": augmentation}
    return Study(
        name=search,
        source="characters",
        targets=targets,
        backbone={"name": "small_resnet", "pretrain": pretraining},
        methods=["finetune", "uot"],
        selection={"top_k": 40},
        grid={
            "lr": [0.1, 0.03, 0.01, 0.003, 0.001],
            "weight_decay": [1e-4, 0.0],
            "source_weight": [1.0, 0.3],
            "head_lr_ratio": [1.0],
        },
        search=SEARCHES[search],
        training={"epochs": 15, "batch_size": 32, "augmentation": augmentation},
        refit={"num_seeds": 1},
        storage=str(storage),
    )


def line(name: str, record: StudyRecord, grid: StudyRecord) -> str:
    stopped = sum(cell.num_in_state("stopped") for cell in record.cells)
    seconds = trial_seconds(record)
    differences = [
        100 * abs((cell.best_val_score or 0.0) - (grid.cell(cell.target, cell.method).best_val_score or 0.0))
        for cell in record.cells
    ]
    points = sum(differences) / len(differences)
    num_trials = sum(len(cell.trials) for cell in record.cells)
    share = seconds / trial_seconds(grid)
    return f"{name:8} {num_trials:7d} {stopped:8d} {seconds:14.0f} {share:12.2f} {points:8.2f}"


def trial_seconds(record: StudyRecord) -> float:
    return sum(trial.seconds for cell in record.cells for trial in cell.trials)


if __name__ == "__main__":
    main()

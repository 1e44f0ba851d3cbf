"""What the platform costs beside the training: empty trials, a leaderboard and a finished study, by the thousand.

    python benchmarks/search_scale.py

A study on the built-in images whose trials find in their spools that they are done: each goes all the way through the
scheduler, a worker and MLflow (SQLite), and trains nothing. Prints the overhead a trial (goal ≤ 30 ms), the time to
read the table of the whole (goal ≤ 2 s) and to run it again when all is done (goal ≤ 10 s).
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
from stage_seconds import StageSeconds

import pretrieve as pt
from pretrieve.stages.context import walking
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger
from pretrieve.tracking import schema
from pretrieve.tracking.spool import Spool
from pretrieve_dashboards import load_study

METHODS = ["finetune", "random", "greedy_ot", "uot"]
TARGETS = ["greek", "symbols"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--empty-trials", type=int, default=1_000)
    parser.add_argument("--trials", type=int, default=4_000, help="of the finished study")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as storage:
        first = settings_of(arguments.empty_trials, storage)
        made_up = tell_results(first)
        observer = StageSeconds()
        pt.Study.from_settings(first).run(observer)
        print(f"{made_up} empty trials: {1000 * observer.seconds['trials'] / made_up:.1f} ms each (goal <= 30)")
        whole = settings_of(arguments.trials, storage)
        tell_results(whole)
        pt.Study.from_settings(whole).run(StageSeconds())
        print_time("the leaderboard", 2, lambda: pt.Study.from_settings(whole).table())
        print_time("running the finished study again", 10, lambda: pt.Study.from_settings(whole).run(StageSeconds()))
        runs = sum(len(cell.trials) for cell in load_study(whole.tracking(), whole.name).cells)
        print(f"of a study of {runs} trials")


def settings_of(num_trials: int, storage: str) -> StudySettings:
    """Make a study of about so many trials: as many learning rates as that takes."""
    rates = np.geomspace(1e-4, 1e-1, round(num_trials / (len(METHODS) * len(TARGETS))))
    return pt.Study(
        name="scale",
        source="characters",
        targets=TARGETS,
        methods=METHODS,
        backbone={"name": "small_resnet", "pretrain": {"epochs": 1}},
        grid={"lr": [float(rate) for rate in rates], "weight_decay": [0.0], "source_weight": [1.0]},
        training={"epochs": 1, "batch_size": 32},
        refit={"num_seeds": 1},
        storage=storage,
    ).settings


def tell_results(settings: StudySettings) -> int:
    """Write the spools of the study's trials that are not in its ledger, and return how many."""
    make_folder(settings.folder)
    ledger, rng = open_ledger(settings), np.random.default_rng(0)
    with walking(settings, StudyObserver()) as context:
        inputs = study_inputs(context)
        cells = TrialMaker(settings, inputs, ledger.spool_path).cells()
    tasks = [task for cell in cells for task in cell.trials if task.spec.key not in ledger.finished]
    for task in tasks:
        spool = Spool(task.spool_path)
        spool.write_epoch(1, {schema.VAL_SCORE: float(rng.uniform(0.1, 0.9)), schema.LOSS_TARGET: 1.0})
        spool.write_end("finished", {schema.SECONDS: 1.0})
    return len(tasks)


def print_time(what: str, goal_s: float, action) -> None:  # type: ignore[no-untyped-def]
    """Do something and print how long it took."""
    started = time.perf_counter()
    action()
    print(f"{what}: {time.perf_counter() - started:.1f} s (goal <= {goal_s:g})")


if __name__ == "__main__":
    main()

"""What Ray and MLflow cost a study: its trials' time beside the same trials in a bare loop.

    python benchmarks/study_time.py

Prints the time of a study's stage of trials, from before its workers start until MLflow has all that they told, times
the CPUs it used, over that of the same trials one after the other in this process with neither Ray nor MLflow (goal ≤
1.10 for trials of 10 s). Two trials at a time share caches and memory, which the loop's do not: the time of two loops
side by side, in two processes without Ray, tells how much of the ratio that is; and who used the CPUs during the
study, what of the rest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from cpu_seconds import CpuSeconds
from stage_seconds import StageSeconds

import pretrieve as pt
from pretrieve.execution.trial import run_trial
from pretrieve.execution.trial_task import TrialTask
from pretrieve.stages.context import walking
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger

METHODS = ["finetune", "uot"]
TARGETS = ["greek", "symbols"]
NUM_CPUS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--trial-seconds", type=float, default=10.0)
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop is not None:
        run_loop([TrialTask.model_validate_json(line) for line in arguments.loop.read_text("utf-8").splitlines()])
        return
    with tempfile.TemporaryDirectory() as storage:
        settings = settings_of(arguments.trials, epochs_for(arguments.trial_seconds, storage), storage)
        tasks = planned_tasks(settings)
        alone_s = timed_loops([tasks], Path(storage, "alone"))
        beside_s = timed_loops([tasks[::2], tasks[1::2]], Path(storage, "beside"))
        observer = Watched()
        pt.Study.from_settings(settings).run(observer)
    study_s = observer.seconds["trials"]
    print(f"{len(tasks)} trials of {alone_s / len(tasks):.1f} s: loop {alone_s:.1f} s, study {study_s:.1f} s")
    print(f"study x {NUM_CPUS} CPUs / loop: {study_s * NUM_CPUS / alone_s:.3f} (goal <= 1.10)")
    print(f"two loops side by side {beside_s:.1f} s, x {NUM_CPUS} / loop: {beside_s * NUM_CPUS / alone_s:.3f}")
    print(f"study / two loops side by side: {study_s / beside_s:.3f}")
    told = ", ".join(f"{kind} {seconds:.0f} s" for kind, seconds in sorted(observer.cpu.used.items()))
    print(f"of {study_s * NUM_CPUS:.0f} s of {NUM_CPUS} CPUs the study used: {told}")


class Watched(StageSeconds):
    """Notes also who uses the CPUs while the trials run."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu = CpuSeconds()

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        """Begin to count."""
        if stage == "trials":
            self.cpu.begin()

    def stage_finished(self, stage: str, seconds: float) -> None:
        """Note it, and end the count."""
        super().stage_finished(stage, seconds)
        if stage == "trials":
            self.cpu.end()


def settings_of(num_trials: int, epochs: int, storage: str) -> StudySettings:
    """Make a study of about so many trials of so many epochs."""
    num_rates = max(1, round(num_trials / (len(METHODS) * len(TARGETS))))
    return pt.Study(
        name="time",
        source="characters",
        targets=TARGETS,
        methods=METHODS,
        backbone={"name": "small_resnet", "pretrain": {"epochs": 1}},
        grid={"lr": [0.01 + 0.001 * n for n in range(num_rates)], "weight_decay": [0.0], "source_weight": [1.0]},
        training={"epochs": epochs, "batch_size": 32},
        refit={"num_seeds": 1},
        compute={"cpus_per_trial": 1},
        storage=storage,
    ).settings


def planned_tasks(settings: StudySettings) -> list[TrialTask]:
    """Prepare a study and return its trials; nothing of them is run."""
    make_folder(settings.folder)
    with walking(settings, StudyObserver()) as context:
        inputs = study_inputs(context)
        cells = TrialMaker(settings, inputs, open_ledger(settings).spool_path).cells()
    return [task for cell in cells for task in cell.trials]


def epochs_for(trial_s: float, storage: str) -> int:
    """Return how many epochs take so long, on average over a cell of each method and target.

    Two lengths are timed, since a trial takes time before its first epoch and after its last.
    """
    num_trials = len(METHODS) * len(TARGETS)
    seconds = {}
    for name, epochs in (("first", 4), ("short", 4), ("long", 16)):  # the first of a process is slower, and is not used
        tasks = planned_tasks(settings_of(num_trials, epochs, storage))
        seconds[name] = timed_loops([tasks], Path(storage, name)) / len(tasks)
    epoch_s = max(1e-3, (seconds["long"] - seconds["short"]) / 12)
    return max(1, round(4 + (trial_s - seconds["short"]) / epoch_s))


def timed_loops(parts: list[list[TrialTask]], folder: Path) -> float:
    """Run trials one after the other, each part in a process of its own, and return the longest time."""
    folder.mkdir()
    processes = []
    for number, part in enumerate(parts):
        file = folder / f"{number}.jsonl"
        file.write_text("".join(f"{moved(task, folder).model_dump_json()}\n" for task in part), encoding="utf-8")
        command = [sys.executable, __file__, "--loop", str(file)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    return max(float(process.communicate()[0].split()[-1]) for process in processes)


def moved(task: TrialTask, folder: Path) -> TrialTask:
    """Give a trial files of its own, so that nothing it leaves is found by the study."""
    key = task.spec.key
    return task.model_copy(
        update={"spool_path": folder / f"{key}.jsonl", "checkpoint_path": folder / "checkpoints" / f"{key}.pt"}
    )


def run_loop(tasks: list[TrialTask]) -> None:
    """Run trials here, and print the seconds, without those of this process's start."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    for task in tasks:
        outcome = run_trial(task, report=lambda metrics: None)
        assert outcome in ("finished", "diverged"), task.spool_path.read_text(encoding="utf-8")
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()

"""A trial that is killed for real, at a step that nobody chose, and resumed until it ends."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from array_images import ArrayImages
from torch.optim.optimizer import register_optimizer_step_post_hook

from pretrieve.backbones import find_architecture
from pretrieve.components import OBJECTIVES
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

NUM_EPOCHS = 4
NUM_STEPS = 3  # of an epoch: 27 images in batches of 8


OPTIONS: dict[str, dict[str, Any]] = {
    "pseudo_label as in the paper": {"objective": "pseudo_label"},
    "joint with all options": {
        "objective": "joint",
        "optimizer": "adamw",
        "schedule": "cosine_decay",
        "min_steps": 13,
        "batch_norm": "target_only",
        "learns": 3,
        "weight_average": 0.9,
        "max_gradient_norm": 1.0,
        "label_smoothing": 0.1,
        "mix": "cutmix",
        "mix_source": "mixup",
        "class_balance": "sampling",
    },
    "joint with the others": {
        "objective": "joint",
        "steps": 13,
        "batch_norm": "frozen",
        "mix": "mixup",
        "mix_source": "cutmix",
        "class_balance": "loss",
    },
}


def work_of(name: str) -> FineTuning:
    objective, options = OPTIONS[name]["objective"], {**OPTIONS[name]}
    del options["objective"]
    rng = np.random.default_rng(0)
    sides = [
        ArrayImages(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % num_classes)
        for count, num_classes in ((27, 3), (35, 5))
    ]
    torch.manual_seed(0)
    hyperparameters = Hyperparameters(lr=0.05, weight_decay=1e-4, source_weight=0.5)
    architecture = find_architecture("small_resnet")
    network = TwoHeadNetwork(
        architecture.build(),
        feature_dim=architecture.feature_dim,
        num_target_classes=3,
        num_source_classes=5 if OBJECTIVES.find(objective).uses_source_head else 0,
        generator=torch.Generator().manual_seed(1),
    )
    return FineTuning(
        network=network,
        objective=OBJECTIVES.find(objective).build(hyperparameters, None),
        target=sides[0],
        source=sides[1] if OBJECTIVES.find(objective).uses_source else None,
        preprocessing=architecture.preprocessing,
        settings=TrainingSettings(epochs=NUM_EPOCHS, batch_size=8, **options),
        hyperparameters=hyperparameters,
        seed=5,
        device=torch.device("cpu"),
    )


def train(folder: Path, name: str, kill_at: int | None) -> None:
    """Train to the end, or until the optimizer's step of that number, where the process kills itself."""
    steps = 0

    def kill(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)  # for so few images, threads mostly wait for each other
    register_optimizer_step_post_hook(kill)
    work = work_of(name)
    fine_tune(work, checkpoint=CheckpointFile(folder / "trial.pt"))
    torch.save(work.network.state_dict(), folder / "weights.pt")


def run_each(folder: Path, name: str, runs: list[tuple[str, int | None]]) -> list[int]:
    """Train in a process for each (folder, step of the kill), one after another; return how they ended.

    They are forked from one that has imported what they need, and computed nothing.
    """
    command = [sys.executable, __file__, str(folder), name, json.dumps(runs)]
    paths = os.pathsep.join(sys.path)  # the process finds what the tests import
    environment = {**os.environ, "PYTHONPATH": paths}
    return json.loads(subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE).stdout)


def fork_each(folder: Path, name: str, runs: list[tuple[str, int | None]]) -> list[int]:
    importlib.import_module("torch._dynamo")  # which the first step of any optimizer would import, for seconds

    ends = []
    for part, kill_at in runs:
        (folder / part).mkdir(exist_ok=True)
        if (process := os.fork()) == 0:
            train(folder / part, name, kill_at)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_a_trial_killed_at_random_steps_ends_with_the_weights_of_one_left_alone(tmp_path: Path, name: str) -> None:
    # The first kill comes after the first checkpoint; the second, counted from there, may come after the end.
    rng, last = random.Random(name), NUM_EPOCHS * NUM_STEPS
    first, second = rng.randrange(NUM_STEPS + 1, last), rng.randrange(1, last)
    ends = run_each(tmp_path, name, [("alone", None), ("killed", first), ("killed", second), ("killed", None)])
    assert (ends[0], ends[1], ends[3]) == (0, -signal.SIGKILL, 0)
    alone, killed = (torch.load(tmp_path / name / "weights.pt", weights_only=True) for name in ("alone", "killed"))
    assert alone.keys() == killed.keys()
    assert [name for name in alone if not alone[name].equal(killed[name])] == []


if __name__ == "__main__":
    print(json.dumps(fork_each(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))))

"""Processes that share each batch, without Ray: the weights are those of one process alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from array_images import ArrayImages
from own_networks import LayerDrop
from torch import distributed

from pretrieve.backbones import Preprocessing
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives.finetune import Finetune
from pretrieve.training.process_group import ProcessGroup
from pretrieve.training.settings import Hyperparameters, TrainingSettings

TIMEOUT_S = 120


def work() -> FineTuning:
    torch.manual_seed(0)
    network = TwoHeadNetwork(
        LayerDrop(),
        feature_dim=16,
        num_target_classes=3,
        num_source_classes=0,
        generator=torch.Generator().manual_seed(0),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    return FineTuning(
        network=network,
        objective=Finetune(),
        target=ArrayImages(pixels, np.arange(16) % 3),
        source=None,
        preprocessing=Preprocessing(16, 16, (0.5,) * 3, (0.25,) * 3),
        settings=TrainingSettings(epochs=3, batch_size=8),
        hyperparameters=Hyperparameters(lr=0.05, weight_decay=0.01),
        seed=0,
        device=torch.device("cpu"),
    )


def train_as_one_of_two(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    shared = replace(work(), process_group=ProcessGroup.current())
    fine_tune(shared)
    if rank == 0:
        torch.save(shared.network.state_dict(), folder / "weights.pt")
    distributed.destroy_process_group()


def weights_of_two(folder: Path) -> dict[str, torch.Tensor]:
    call = (
        f"import test_several_processes as t; from pathlib import Path; t.train_as_one_of_two(Path({str(folder)!r}), "
    )
    here = Path(__file__).parent
    workers = [
        subprocess.Popen([sys.executable, "-c", f"{call}{rank})"], cwd=here, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=TIMEOUT_S)
        assert worker.returncode == 0, errors.decode()
    weights: dict[str, torch.Tensor] = torch.load(folder / "weights.pt", weights_only=True)
    return weights


def test_weights_that_a_step_leaves_out_are_met_as_by_one_process(tmp_path: Path) -> None:
    alone = work()
    fine_tune(alone)
    together = weights_of_two(tmp_path)
    for name, weights in alone.network.state_dict().items():
        torch.testing.assert_close(together[name], weights, rtol=1e-4, atol=1e-6, msg=name)
    # No step used it, so that even the weight decay left it alone.
    torch.manual_seed(0)
    assert together["backbone.unused.weight"].equal(LayerDrop().unused.weight)

"""A checkpoint that cannot be gone on from is set aside by name, and the training begins anew."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pretrieve.artifacts.sealed_files import sealing
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.network import TwoHeadNetwork


def network(num_classes: int = 3) -> TwoHeadNetwork:
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
    return TwoHeadNetwork(backbone, feature_dim=4, num_target_classes=num_classes, num_source_classes=0)


def optimizer(trained: TwoHeadNetwork, num_groups: int = 1) -> torch.optim.Optimizer:
    weights = list(trained.parameters())
    share = len(weights) // num_groups
    groups = [{"params": weights[n * share : (n + 1) * share]} for n in range(num_groups)]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def saved(path: Path, trained: TwoHeadNetwork, further: dict[str, Tensor], num_groups: int = 1) -> None:
    CheckpointFile(path).save(2, trained, optimizer(trained, num_groups), further)


def sealed(path: Path, content: bytes | dict[str, int]) -> None:
    with sealing(path) as temporary:
        temporary.write_bytes(content) if isinstance(content, bytes) else torch.save(content, temporary)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "its seal is not where"),
    "half": (
        lambda path: (saved(path, network(), {}), path.write_bytes(path.read_bytes()[:999])),
        "was cut or changed",
    ),
    "no tensors": (lambda path: sealed(path, b"text"), "cannot be read as a checkpoint"),
    "other parts": (lambda path: sealed(path, {"epochs_done": 2}), "must hold epochs_done, further"),
    "more classes": (lambda path: saved(path, network(5), {}), r"network: target_head\.weight has shape \(5, 4\)"),
    "no average": (lambda path: saved(path, network(), {"average": torch.zeros(1)}), "further: left over average"),
    "other groups": (lambda path: saved(path, network(), {}, num_groups=2), "the state of another optimizer"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_checkpoint_is_set_aside_and_nothing_is_changed(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, fault = SPOILT[kind]
    path = tmp_path / "checkpoint.pt"
    spoil(path)
    trained, fresh = network(), network()
    with caplog.at_level(logging.WARNING):
        assert CheckpointFile(path).restore(trained, optimizer(trained), {}) == 0
    assert not path.exists()
    (aside,) = tmp_path.glob(".checkpoint.pt.damaged-*")
    (message,) = caplog.messages
    assert str(aside) in message
    assert re.search(fault, message)
    assert all(value.equal(fresh.state_dict()[name]) for name, value in trained.state_dict().items())
    # The next epoch's checkpoint takes its place.
    saved(path, trained, {})
    assert CheckpointFile(path).restore(trained, optimizer(trained), {}) == 2


def test_the_new_file_is_on_the_disk_before_it_replaces_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "checkpoint.pt", []
    flush = os.fsync

    def note(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_ino, path.exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    saved(path, network(), {})
    assert seen == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]

"""What a network of one fold predicts for the images that it did not see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pretrieve.artifacts.sealed_files import read_sealed_arrays, write_sealed_arrays


@dataclass(frozen=True)
class HeldOut:
    """Logits (N, K) float32 and labels (N,) int64 of the images of a fold."""

    logits: Tensor
    labels: Tensor

    def write(self, path: Path, metrics: Mapping[str, float]) -> None:
        """Keep them with the metrics of the training."""
        found = np.array(json.dumps(dict(metrics)))
        write_sealed_arrays(path, logits=self.logits.numpy(), labels=self.labels.numpy(), metrics=found)

    @classmethod
    def read(cls, path: Path) -> tuple[HeldOut, dict[str, float]]:
        """Read what `write` kept; raises as `read_sealed_arrays`."""
        kept = read_sealed_arrays(path)
        held_out = cls(torch.from_numpy(kept["logits"]), torch.from_numpy(kept["labels"]))
        return held_out, json.loads(str(kept["metrics"]))

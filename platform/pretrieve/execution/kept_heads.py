"""First weights of heads that are computed from features: computed once, and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_arrays, write_sealed_arrays
from pretrieve.components import HEAD_STARTS
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.features.stored_features import draw_labelled_features, read_labelled_features
from pretrieve.settings_model import SettingsModel
from pretrieve.training.head_starts import HeadProblem, HeadStart
from pretrieve.training.head_starts._base import MAX_SOURCE_EXAMPLES, no_examples
from pretrieve.training.settings import TrainingSettings

HEADS_VERSION = 1
"""Raise it when the same features give other heads."""


class FeatureFiles(SettingsModel):
    """Where the features of a trial's images lie.

    Attributes:
      train, evaluate: of the images to train on and to score.
      source: of all images of the source; None unless its head starts from them.
      left_out: rows of the source that no head may start from.
      heads: folder of the heads that are kept.
    """

    train: StoredRows
    evaluate: StoredRows
    source: Path | None = None
    left_out: tuple[int, ...] = ()
    heads: Path

    def to_train(self) -> tuple[Tensor, Tensor]:
        """Read features (N, D) float32 and labels (N,) int64 of the images to train on."""
        return _tensors(read_labelled_features(self.train.folders, self.train.numbers()))

    def to_score(self) -> tuple[Tensor, Tensor]:
        """Read those of the images to score."""
        return _tensors(read_labelled_features(self.evaluate.folders, self.evaluate.numbers()))

    def target_examples(self) -> StoredExamples:
        return StoredExamples(self.to_train, self.train.origin)

    def source_examples(self) -> StoredExamples:
        def read() -> tuple[Tensor, Tensor]:
            if self.source is None:
                return no_examples()
            drawn = draw_labelled_features(self.source, max_per_class=MAX_SOURCE_EXAMPLES, left_out=self.left_out)
            return _tensors(drawn)

        name = None if self.source is None else self.source.name
        return StoredExamples(read, [name, MAX_SOURCE_EXAMPLES, *self.left_out])


@dataclass(frozen=True)
class StoredExamples:
    """Reads a head's examples when they are asked for; `origin` says in a key which they are."""

    read: Callable[[], tuple[Tensor, Tensor]]
    origin: Sequence[Any]

    def __call__(self) -> tuple[Tensor, Tensor]:
        return self.read()


class KeptHeads(HeadStart):
    """A head start whose heads are kept: the first trial with the same examples computes them, the others read them.

    Two processes may compute the same head at the same time; they write the same file.
    """

    name = "kept"

    def __init__(self, training: TrainingSettings, folder: Path) -> None:
        self._inner, self._folder = training.build_head_start(), folder
        self._identity = [HEAD_STARTS.identity(training.head_start), training.head_start_settings]

    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        examples = problem.examples
        assert isinstance(examples, StoredExamples), "a trial gives examples from the store"
        key = content_key(
            kind="head",
            version=HEADS_VERSION,
            head_start=self._identity,
            examples=list(examples.origin),
            num_classes=problem.num_classes,
        )
        path = self._folder / f"{key}.npz"
        if not is_kept(path):
            generator = torch.Generator().manual_seed(int(key, 16) % 2**63)
            read = cache(examples.read)
            weight, bias = self._inner.start(replace(problem, generator=generator, examples=read))
            write_sealed_arrays(path, weight=weight.numpy(), bias=bias.numpy())
        kept = read_sealed_arrays(path)
        return torch.from_numpy(kept["weight"]), torch.from_numpy(kept["bias"])


def _tensors(labelled: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    features, labels = labelled
    return torch.from_numpy(features), torch.from_numpy(labels)

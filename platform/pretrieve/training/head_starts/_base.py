"""The contract of a head start: the first weights of a head that no pre-training has trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pretrieve.errors import ComponentError

Examples = Callable[[], tuple[Tensor, Tensor]]

MAX_SOURCE_EXAMPLES = 30


def no_examples() -> tuple[Tensor, Tensor]:
    """Stand in for the examples of a head that has none; raise ComponentError."""
    raise ComponentError(
        "a head start that asks for examples must have `uses_examples`, and its head images to train on, but one of "
        "the two is missing; set the attribute, or take 'gaussian'"
    )


@dataclass(frozen=True)
class HeadProblem:
    """The head that needs weights.

    Attributes:
      feature_dim: D, the length of the backbone's feature.
      num_classes: K, the outputs of the head.
      generator: the only source of random numbers, on the CPU.
      examples: returns features (N, D) float32 and labels (N,) int64, N ≥ 1, on the CPU, from the store: of images
        viewed as in prediction, through the pre-trained backbone in evaluation mode. The target's head has those of its
        training images; the source's at most MAX_SOURCE_EXAMPLES of each class of the source, whatever is selected.
        Some classes may have no image. Raises ComponentError if there are none.
    """

    feature_dim: int
    num_classes: int
    generator: torch.Generator
    examples: Examples = no_examples


class HeadStart(ABC):
    """How the first weights of a fresh head are chosen.

    The arguments of a member's constructor are its own settings. A member keeps no state between two heads, does not
    change the examples, and gives the same weights for the same generator and examples.

    Attributes:
      name: its name in studies.
      uses_examples: `start` asks for the problem's examples. Then the head is computed once for the same examples and
        kept in the store, and `generator` is seeded by them instead of by the trial.
    """

    name: ClassVar[str]
    uses_examples: ClassVar[bool] = True

    @abstractmethod
    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        """Return the weight (K, D) and the bias (K,) of a head, float32, finite, on the CPU.

        The target's head is started first, then the source's if that is fresh, from the same generator.
        """

"""The contract suite of head starts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pretrieve.testing.small_network import FEATURE_DIM, NUM_TARGET_CLASSES, small_network
from pretrieve.training.head_starts import HeadProblem, HeadStart

NUM_EXAMPLES = 12

LabelledFeatures = tuple[Tensor, Tensor]
Start = Callable[[LabelledFeatures, torch.Generator], LabelledFeatures]


def check_head_start(head_start: HeadStart) -> None:
    """Check that a head start keeps the contract of `HeadStart`.

    Its weights have their shapes and are finite, also where a class has no example. The same generator and examples
    give the same weights, whatever torch's global generator is at, which stays where it is. The examples stay as they
    were.

    Raises:
      AssertionError: it does not; the message names rule, value and place.

    >>> from pretrieve.training.head_starts.gaussian import Gaussian
    >>> check_head_start(Gaussian())
    """

    def start(examples: LabelledFeatures, generator: torch.Generator) -> LabelledFeatures:
        problem = HeadProblem(FEATURE_DIM, NUM_TARGET_CLASSES, generator, lambda: examples)
        return copy.deepcopy(head_start).start(problem)

    for examples, place in example_sets():
        check_heads(start, examples, f"with examples {place} ({type(head_start).__name__})")


def example_sets() -> Iterator[tuple[LabelledFeatures, str]]:
    """Yield features and labels of a small network, and which classes they are of."""
    backbone = small_network(source_head=False).backbone
    images = torch.randn(NUM_EXAMPLES, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = backbone(images)
    for num_seen, place in ((NUM_TARGET_CLASSES, "of all classes"), (NUM_TARGET_CLASSES - 1, "that lack a class")):
        yield (features.clone(), torch.arange(NUM_EXAMPLES) % num_seen), place


def check_heads(start: Start, examples: LabelledFeatures, place: str) -> None:
    """Check the heads that are made from examples; `place` ends the messages."""
    before, started = copy.deepcopy(examples), []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            state = torch.random.get_rng_state()
            started.append(start(examples, torch.Generator().manual_seed(7)))
            if not torch.random.get_rng_state().equal(state):
                raise AssertionError(
                    f"random numbers must come from `generator`, but torch's own was drawn from {place}"
                )
    expected = {"weight": (NUM_TARGET_CLASSES, FEATURE_DIM), "bias": (NUM_TARGET_CLASSES,)}
    for (name, shape), first, second in zip(expected.items(), *started, strict=True):
        if tuple(first.shape) != shape or first.dtype != torch.float32:
            raise AssertionError(
                f"the {name} must be {shape} float32, but is {tuple(first.shape)} {first.dtype} {place}"
            )
        if not first.isfinite().all():
            raise AssertionError(f"the {name} must be finite, but {int((~first.isfinite()).sum())} are not {place}")
        if not first.equal(second):
            raise AssertionError(
                f"the same generator and examples must give the same {name}, but two starts differ {place}"
            )
    for name, old, new in zip(("features", "labels"), before, examples, strict=True):
        if not old.equal(new):
            raise AssertionError(f"a head start must leave the examples as they are, but changed their {name} {place}")

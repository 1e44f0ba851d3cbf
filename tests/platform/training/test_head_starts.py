"""Head starts: today's weights to the bit, and one of a user's own that looks at the training images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from array_images import ArrayImages
from torch import Tensor, nn

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones import find_architecture
from pretrieve.components import HEAD_STARTS
from pretrieve.components.hyperparameters import L2
from pretrieve.errors import ComponentError
from pretrieve.training.fine_tuning import TrialInputs
from pretrieve.training.head_starts import HeadProblem, HeadStart
from pretrieve.training.head_starts.from_probe import FromProbe
from pretrieve.training.linear_heads import LinearHead, choose_l2, class_means, logistic_regression
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec

CPU = torch.device("cpu")


class ClassMeans(HeadStart):
    """Start from the mean feature of each class; classes without images stay at 0."""

    name = "class_means"

    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        features, labels = problem.examples()
        assert problem.examples()[0] is features, "they are computed once"
        weight = torch.zeros(problem.num_classes, problem.feature_dim)
        for label in labels.unique():
            weight[label] = features[labels == label].mean(0)
        return weight, torch.zeros(problem.num_classes)


Fit = Callable[..., LinearHead]


def chosen_probe(features: Tensor, labels: Tensor, *, num_classes: int) -> LinearHead:
    return logistic_regression(features, labels, num_classes=num_classes, l2=choose_l2(features, labels, L2.grid))


class TooWide(HeadStart):
    """Return one column too many."""

    name = "too_wide"

    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        return torch.zeros(problem.num_classes, problem.feature_dim + 1), torch.zeros(problem.num_classes)


@pytest.fixture
def inputs(make_images: Callable[[int, int, int], ArrayImages]) -> TrialInputs:
    architecture = find_architecture("small_resnet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = architecture.build()
    target, source = make_images(3, 9, 0), make_images(5, 7, 1)
    return TrialInputs(architecture=architecture, backbone=backbone, target=target, evaluate=target, source=source)


def spec_of(head_start: str = "gaussian", *, objective: str = "joint") -> TrialSpec:
    return TrialSpec(
        kind="trial",
        target="t",
        method="uot",
        key="k",
        objective=objective,
        hyperparameters=Hyperparameters(lr=0.1, source_weight=1.0),
        seed=3,
        # Not validated: a study refuses what this process alone has registered.
        training=TrainingSettings(epochs=1, batch_size=8).model_copy(update={"head_start": head_start}),
        metric="top1",
        num_target_classes=3,
        num_source_classes=5 if objective == "joint" else 0,
    )


def test_heads_start_as_they_always_did_to_the_bit(inputs: TrialInputs) -> None:
    generator = torch.Generator().manual_seed(derived_seed(3, "heads"))
    expected = [torch.empty(rows, 64).normal_(0, math.sqrt(2 / 2048), generator=generator) for rows in (3, 5)]
    network = inputs.fine_tuning(spec_of(), device=CPU).network
    assert network.source_head is not None
    for head, weight in zip((network.target_head, network.source_head), expected, strict=True):
        assert torch.equal(head.weight, weight)
        assert torch.equal(head.bias, torch.zeros(len(weight)))


def test_a_head_start_sees_the_examples_of_its_head(inputs: TrialInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEAD_STARTS._registered, "class_means", ClassMeans)
    of_target, of_source = ((torch.randn(6, 64), torch.arange(6) % count) for count in (3, 5))
    given = replace(inputs, target_examples=lambda: of_target, source_examples=lambda: of_source)
    network = given.fine_tuning(spec_of("class_means"), device=CPU).network
    assert network.source_head is not None
    for head, (features, labels) in ((network.target_head, of_target), (network.source_head, of_source)):
        means = torch.stack([features[labels == label].mean(0) for label in range(head.out_features)])
        torch.testing.assert_close(head.weight.detach(), means)


def test_a_pretrained_source_head_is_not_started() -> None:
    classifier = nn.Linear(4, 5)
    network = TwoHeadNetwork(
        nn.Identity(), feature_dim=4, num_target_classes=3, num_source_classes=5, source_classifier=classifier
    )
    examples = torch.ones(2, 4), torch.tensor([0, 2])
    network.start_heads(ClassMeans(), torch.Generator(), target_examples=lambda: examples)
    assert network.target_head.weight.sum(1).tolist() == [4, 0, 4]
    assert network.source_head is not None
    assert torch.equal(network.source_head.weight, classifier.weight)


def test_a_head_without_examples_is_refused(inputs: TrialInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEAD_STARTS._registered, "class_means", ClassMeans)
    with pytest.raises(ComponentError, match="must have `uses_examples`, and its head images to train on, but one"):
        inputs.fine_tuning(spec_of("class_means"), device=CPU)


@pytest.mark.parametrize(("word", "fit"), [("from_probe", chosen_probe), ("from_means", class_means)])
def test_heads_start_as_the_fit_to_their_examples(inputs: TrialInputs, word: str, fit: Fit) -> None:
    of_target, of_source = ((torch.randn(40, 64), torch.arange(40) % count) for count in (3, 5))
    given = replace(inputs, target_examples=lambda: of_target, source_examples=lambda: of_source)
    network = given.fine_tuning(spec_of(word), device=CPU).network
    for head, (features, labels) in ((network.target_head, of_target), (network.source_head, of_source)):
        weight, bias = fit(features, labels, num_classes=head.out_features)
        assert torch.equal(head.weight, weight)
        assert torch.equal(head.bias, bias)


def test_a_probe_of_a_given_strength_is_not_chosen() -> None:
    features, labels = torch.randn(12, 6), torch.arange(12) % 3
    problem = HeadProblem(6, 3, torch.Generator(), lambda: (features, labels))
    weight, _ = FromProbe(l2=7.0).start(problem)
    assert torch.equal(weight, logistic_regression(features, labels, num_classes=3, l2=7.0).weight)


def test_a_strength_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ComponentError, match="l2 must be > 0, but is 0"):
        HEAD_STARTS.build("from_probe", {"l2": 0.0})


def test_weights_of_another_shape_are_refused(inputs: TrialInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEAD_STARTS._registered, "too_wide", TooWide)
    with pytest.raises(ComponentError, match=r"shapes \(\(3, 64\), \(3,\)\), but TooWide returned .*\(\(3, 65\)"):
        inputs.fine_tuning(spec_of("too_wide", objective="finetune"), device=CPU)

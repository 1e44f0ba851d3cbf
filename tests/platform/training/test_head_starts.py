"""Head starts: today's weights to the bit, and one of a user's own that looks at the training images."""

from __future__ import annotations

import copy
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
from pretrieve.errors import ComponentError
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.fine_tuning import TrialInputs
from pretrieve.training.head_starts import HeadProblem, HeadStart
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
        training=TrainingSettings(epochs=1, batch_size=8),
        metric="top1",
        num_target_classes=3,
        num_source_classes=5 if objective == "joint" else 0,
        head_start=head_start,
    )


def test_heads_start_as_they_always_did_to_the_bit(inputs: TrialInputs) -> None:
    generator = torch.Generator().manual_seed(derived_seed(3, "heads"))
    expected = [torch.empty(rows, 64).normal_(0, math.sqrt(2 / 2048), generator=generator) for rows in (3, 5)]
    network = inputs.fine_tuning(spec_of(), device=CPU).network
    assert network.source_head is not None
    for head, weight in zip((network.target_head, network.source_head), expected, strict=True):
        assert torch.equal(head.weight, weight)
        assert torch.equal(head.bias, torch.zeros(len(weight)))


def test_a_head_start_sees_the_training_images_of_its_head(
    inputs: TrialInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the pre-trained backbone in evaluation mode, in the view of prediction."""
    monkeypatch.setitem(HEAD_STARTS._registered, "class_means", ClassMeans)
    backbone, batches = copy.deepcopy(inputs.backbone).eval(), []
    inputs.backbone.train()
    work = inputs.fine_tuning(spec_of("class_means"), device=CPU, on_batch=lambda: batches.append(1))
    assert work.network.source_head is not None
    for head, images in ((work.network.target_head, inputs.target), (work.network.source_head, inputs.source)):
        assert images is not None
        stored = images.gather(torch.arange(len(images)))
        with torch.no_grad():
            features = backbone(evaluation_view(to_unit_range(stored, CPU), inputs.architecture.preprocessing))
        means = torch.stack([features[images.labels == label].mean(0) for label in range(head.out_features)])
        torch.testing.assert_close(head.weight.detach(), means, atol=1e-5, rtol=1e-5)
    assert len(batches) == 2
    assert inputs.backbone.training, "its mode is as it was"
    for name, value in inputs.backbone.state_dict().items():
        assert torch.equal(value, backbone.state_dict()[name]), "statistics of batch norm stay as they were"


def test_examples_that_no_one_asks_for_are_not_computed(inputs: TrialInputs) -> None:
    batches: list[int] = []
    inputs.fine_tuning(spec_of(), device=CPU, on_batch=lambda: batches.append(1))
    assert batches == []


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


def test_a_head_without_images_has_no_examples(inputs: TrialInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEAD_STARTS._registered, "class_means", ClassMeans)
    with pytest.raises(ComponentError, match="asks for examples must be of a head with training images, but this"):
        replace(inputs, source=None).fine_tuning(spec_of("class_means"), device=CPU)


def test_weights_of_another_shape_are_refused(inputs: TrialInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEAD_STARTS._registered, "too_wide", TooWide)
    with pytest.raises(ComponentError, match=r"shapes \(\(3, 64\), \(3,\)\), but TooWide returned .*\(\(3, 65\)"):
        inputs.fine_tuning(spec_of("too_wide", objective="finetune"), device=CPU)

"""The contract suites pass for all built-in members, and name the fault of members that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pretrieve.components import HEAD_STARTS, OBJECTIVES, OPTIMIZERS, SCHEDULES
from pretrieve.testing import check_head_start, check_objective, check_optimizer, check_schedule
from pretrieve.training.head_starts.gaussian import Gaussian
from pretrieve.training.objectives import StepLoss
from pretrieve.training.objectives.finetune import Finetune
from pretrieve.training.objectives.joint import JointTwoHead
from pretrieve.training.optimizers.sgd import SGD
from pretrieve.training.schedules.step import Step


@pytest.mark.parametrize("settings", [{}, {"layer_decay": 0.6}], ids=["plain", "layer_decay"])
@pytest.mark.parametrize("word", OPTIMIZERS.built_in())
def test_every_optimizer_keeps_the_contract(word: str, settings: dict[str, Any]) -> None:
    check_optimizer(OPTIMIZERS.build(word, settings))


@pytest.mark.parametrize("word", SCHEDULES.built_in())
def test_every_schedule_keeps_the_contract(word: str) -> None:
    check_schedule(SCHEDULES.build(word, {}))


@pytest.mark.parametrize("word", HEAD_STARTS.built_in())
def test_every_head_start_keeps_the_contract(word: str) -> None:
    check_head_start(HEAD_STARTS.build(word, {}))


@pytest.mark.parametrize("word", OBJECTIVES.built_in())
def test_every_objective_keeps_the_contract(word: str) -> None:
    check_objective(OBJECTIVES.find(word))


class WithoutBias(SGD):
    def groups(self, network: Any, hyperparameters: Any) -> list[dict[str, Any]]:
        *backbone, heads = super().groups(network, hyperparameters)
        return [*backbone, {**heads, "params": heads["params"][:1]}]


class WithoutFirstRates(SGD):
    def build(self, network: Any, hyperparameters: Any, training: Any) -> torch.optim.Optimizer:
        built = super().build(network, hyperparameters, training)
        for group in built.param_groups:
            del group["initial_lr"]
        return built


class SameRateForHeads(SGD):
    def groups(self, network: Any, hyperparameters: Any) -> list[dict[str, Any]]:
        return [{**group, "lr": 0.01, "initial_lr": 0.01} for group in super().groups(network, hyperparameters)]


class FixedRate(SGD):
    def groups(self, network: Any, hyperparameters: Any) -> list[dict[str, Any]]:
        ratio = hyperparameters.head_lr_ratio
        backbone, heads = super().groups(network, hyperparameters)
        return [{**backbone, "lr": 0.01, "initial_lr": 0.01}, {**heads, "lr": 0.01 * ratio, "initial_lr": 0.01 * ratio}]


class DecayForgotten(SGD):
    def groups(self, network: Any, hyperparameters: Any) -> list[dict[str, Any]]:
        own, self.layer_decay = self.layer_decay, 1.0
        groups = super().groups(network, hyperparameters)
        self.layer_decay = own
        return groups


class Uphill(SGD):
    def build(self, network: Any, hyperparameters: Any, training: Any) -> torch.optim.Optimizer:
        groups = self.groups(network, hyperparameters)
        return torch.optim.SGD(groups, momentum=training.momentum, maximize=True)


class FrozenHeads(SGD):
    def build(self, network: Any, hyperparameters: Any, training: Any) -> torch.optim.Optimizer:
        class Partial(torch.optim.SGD):
            def step(self, closure: Any = None) -> None:  # type: ignore[override]
                self.param_groups[-1]["params"][0].grad = None
                super().step()

        return Partial(self.groups(network, hyperparameters), momentum=training.momentum)


class SmallerThanSaid(SGD):
    num_state_per_weight = 0


class Forgetful(SGD):
    """Keeps its velocity outside the torch optimizer's state."""

    num_state_per_weight = 0

    def build(self, network: Any, hyperparameters: Any, training: Any) -> torch.optim.Optimizer:
        class Hidden(torch.optim.SGD):
            def __init__(self, groups: Any) -> None:
                super().__init__(groups)
                self._velocity: dict[Any, Tensor] = {}

            def step(self, closure: Any = None) -> None:  # type: ignore[override]
                for group in self.param_groups:
                    for each in group["params"]:
                        old = self._velocity.get(each, torch.zeros_like(each))
                        self._velocity[each] = 0.9 * old + each.grad
                        each.data -= group["lr"] * self._velocity[each]

        return Hidden(self.groups(network, hyperparameters))


class ReadsInSecret(SGD):
    reads = ()


@pytest.mark.parametrize(
    ("optimizer", "fault"),
    [
        (
            WithoutBias(),
            r"exactly one group, but 'target_head\.bias' is in 0 in a network with a fresh .*\(WithoutBias",
        ),
        (WithoutFirstRates(), "its first rate as `initial_lr`, but that of group 0 is None"),
        (SameRateForHeads(), "twice the lr must be twice the rate of each weight, but that of 'backbone.0.weight'"),
        (FixedRate(), r"twice the lr must be twice .* goes from 0\.01 to 0\.01"),
        (DecayForgotten(0.5), r"multiplied by layer_decay = 0\.5 .* to 0\.005 1 blocks away, but is 0\.01"),
        (Uphill(), r"3 steps must lower a convex loss, but it goes from"),
        (FrozenHeads(), r"must move every weight with a gradient, but 24 of 'target_head\.weight' stay"),
        (SmallerThanSaid(), r"num_state_per_weight must be .* but it is 0 and \d+ are kept of \d+ weights"),
        (Forgetful(), r"must go on to the same weights, to the bit, but 'backbone\.0\.weight' differs by up to"),
        (ReadsInSecret(), r"must list the settings that it reads, but training\.momentum changes its steps"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_broken_optimizer_is_named_with_its_fault(optimizer: Any, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_optimizer(optimizer)


class HeadsAtTheBackbonesRate(SGD):
    def groups(self, network: Any, hyperparameters: Any) -> list[dict[str, Any]]:
        backbone, heads = super().groups(network, hyperparameters)
        return [backbone, {**heads, "lr": backbone["lr"], "initial_lr": backbone["lr"]}]


def test_a_ratio_of_rates_that_is_not_kept_is_named() -> None:
    with pytest.raises(AssertionError, match=r"head_lr_ratio = 2 times .* 'target_head\.weight' learns at 0\.01"):
        check_optimizer(HeadsAtTheBackbonesRate())


class Negative(Step):
    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: Any) -> float:
        return super().factor(step, num_steps, steps_per_epoch, training) - 0.1


class FromZero(Step):
    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: Any) -> float:
        return step / num_steps


class Counting(Step):
    num_asked = 0

    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: Any) -> float:
        self.num_asked += 1
        return 1 / self.num_asked


class StepInSecret(Step):
    reads = ("decay_at",)


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        (Negative(), r"must be a finite number >= 0, but is -0\.09 in step 6 of 7 in 1 epochs \(Negative\)"),
        (FromZero(), r"the factor of the first step must be > 0, but is 0\.0 in step 0 of 1"),
        (Counting(), r"must not depend on what was asked for before, but is once 1\.0 and once 0\.5 in step 0 of 1"),
        (StepInSecret(), r"must list the settings that it reads, but training\.decay_factor changes its factors"),
    ],
)
def test_a_broken_schedule_is_named_with_its_fault(schedule: Any, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_schedule(schedule)


def started(change: Callable[[Tensor, Tensor], Any]) -> Any:
    """Make a head start that returns what `change` makes of Gaussian's weights."""

    class Changed(Gaussian):
        def start(self, problem: Any) -> tuple[Tensor, Tensor]:
            weight, bias = super().start(problem)
            found: tuple[Tensor, Tensor] = change(weight, bias)
            return found

    return Changed()


class ChangesExamples(Gaussian):
    def start(self, problem: Any) -> tuple[Tensor, Tensor]:
        problem.examples()[0].sub_(1)
        return super().start(problem)


class EmptyMeans(Gaussian):
    """Divides by the number of images of each class, which may be 0."""

    def start(self, problem: Any) -> tuple[Tensor, Tensor]:
        features, labels = problem.examples()
        means = [features[labels == label].mean(0) for label in range(problem.num_classes)]
        return torch.stack(means), torch.zeros(problem.num_classes)


@pytest.mark.parametrize(
    ("head_start", "fault"),
    [
        (started(lambda weight, bias: (weight.T, bias)), r"the weight must be \(3, 8\) float32, but is \(8, 3\)"),
        (started(lambda weight, bias: (weight, bias.double())), r"the bias must be .* but is \(3,\) torch\.float64"),
        (EmptyMeans(), r"the weight must be finite, but 8 are not with examples that lack a class \(EmptyMeans\)"),
        (started(lambda weight, bias: (torch.randn(3, 8), bias)), "must come from `generator`, but torch's own was"),
        (ChangesExamples(), "must leave the examples as they are, but changed their features"),
    ],
)
def test_a_broken_head_start_is_named_with_its_fault(head_start: Any, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_head_start(head_start)


class Sums(Finetune):
    """A sum over the images in place of a mean."""

    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        loss = super().loss(network, target, source)
        return loss._replace(total=loss.total * len(target.labels))


class Attached(JointTwoHead):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        loss = super().loss(network, target, source)
        return loss._replace(target=loss.total)


class Vector(Finetune):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        loss = super().loss(network, target, source)
        return loss._replace(total=loss.total.repeat(2))


class InPlace(Finetune):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        target.images.mul_(2)
        return super().loss(network, target, source)


class Unlisted(JointTwoHead):
    hyperparameters = ()


class NoHead(JointTwoHead):
    uses_source_head = False


class NoStrongView(JointTwoHead):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        return super().loss(network, target, source._replace(images=source.strong_images))


class NeedlessHead(Finetune):
    uses_source_head = True


class NeedlessSource(Finetune):
    uses_source = True

    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        loss = super().loss(network, target, source)
        return loss._replace(source=loss.target)


class NeedlessRelationship(Finetune):
    uses_source_head = uses_relationship = True

    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        loss = super().loss(network, target, source)
        head = network.source_head(network.backbone(target.images)).square().mean()
        return loss._replace(total=head)


class SourceFirst(JointTwoHead):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        features = network.backbone(torch.cat([source.images, target.images]))
        source_features, target_features = features.split([len(source.labels), len(target.labels)])
        losses = [
            torch.nn.functional.cross_entropy(network.target_head(target_features), target.labels),
            torch.nn.functional.cross_entropy(network.source_head(source_features), source.labels),
        ]
        return StepLoss(losses[0] + self.source_weight * losses[1], losses[0].detach(), losses[1].detach())


class OneByOne(JointTwoHead):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        target_loss = torch.nn.functional.cross_entropy(network(target.images), target.labels)
        source_loss = self.source_loss(network, source)
        return StepLoss(target_loss + self.source_weight * source_loss, target_loss.detach(), source_loss.detach())


class OtherSourceLoss(JointTwoHead):
    def source_loss(self, network: Any, source: Any) -> Tensor:
        return self.source_weight * 2 * super().source_loss(network, source)


class IndexesLabels(Finetune):
    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        loss = -network(target.images).log_softmax(1)[torch.arange(len(target.labels)), target.labels].mean()
        return StepLoss(loss, loss.detach(), None)


class HardLabels(Finetune):
    """Takes the smallest weight for the class."""

    def loss(self, network: Any, target: Any, source: Any) -> StepLoss:
        labels = target.labels if target.labels.ndim == 1 else target.labels.argmin(1)
        return super().loss(network, target._replace(labels=labels), source)


@pytest.mark.parametrize(
    ("objective", "fault"),
    [
        (Sums, r"must be a mean over images.* but the total of two halves differs .* \(Sums\)"),
        (Attached, "the target's part must be detached, but its requires_grad is True"),
        (Vector, r"the total must be a finite scalar, but has shape \(2,\)"),
        (InPlace, r"must leave its inputs and the weights as they are, but changed target\.images"),
        (Unlisted, r"build must read only hyperparameters that the objective lists .* but reads 'source_weight'"),
        (NoHead, r"loss must work with what the flags ask for, uses_source, but raised .* \(NoHead\)"),
        (NoStrongView, r"loss must work with what the flags ask for, uses_source, uses_source_head, but raised"),
        (NeedlessHead, "uses_source_head must be False where the loss does not depend on it, but is True"),
        (NeedlessSource, "uses_source must be False where the loss does not depend on it"),
        (NeedlessRelationship, "uses_relationship must be False where the loss does not depend on it"),
        (SourceFirst, "must begin with all of the target's images, .* but image 0 of 16 is the source's.* has 6"),
        (IndexesLabels, r"must take labels as weights of the classes, .* but raised IndexError.* \(IndexesLabels\)"),
        (HardLabels, r"the total must be the same, .*, where labels are one-hot rows, but is .* \(HardLabels\)"),
        (OtherSourceLoss, "source_loss must be the source's part of the step, before its weight, but is"),
    ],
)
def test_a_broken_objective_is_named_with_its_fault(objective: Any, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_objective(objective)


def test_an_objective_may_pass_the_streams_one_by_one() -> None:
    check_objective(OneByOne)

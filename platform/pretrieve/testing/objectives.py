"""The contract suite of objectives."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.components.hyperparameters import Hyperparameter
from pretrieve.testing.head_starts import LabelledFeatures, check_heads, example_sets
from pretrieve.testing.small_network import NUM_SOURCE_CLASSES, NUM_TARGET_CLASSES, small_network, values_of
from pretrieve.training.batch_norm import is_part_of
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch, FeatureObjective, Objective, Relationship, StepLoss
from pretrieve.training.settings import Hyperparameters

NUM_TARGET, NUM_SOURCE = 6, 10
TOLERANCE = 1e-4
"""Of sums in float32, relative to the whole."""


def check_objective(objective_class: type[Objective]) -> None:
    """Check that an objective keeps the contract of `Objective`, on a small network without batch norm.

    `build` reads only the hyperparameters that it lists. `loss` and `source_loss` work with what the flags `uses_…` ask
    for, and depend on each of them. The total is a finite scalar that can be differentiated, its parts are detached.
    The totals of chunks, weighted by their shares, add up to that of the step, as do their gradients. Inputs and
    weights stay as they were. A pass of both streams begins with the target's images. The loss on the source alone is
    the source's part of the step's. Labels may be weights of the classes: one-hot rows give the same total. Of a
    `FeatureObjective` the head that it fits is checked instead, as
    `check_head_start` does.

    Raises:
      AssertionError: it does not; the message names rule, value and place.

    >>> from pretrieve.training.objectives.joint import JointTwoHead
    >>> check_objective(JointTwoHead)
    """
    case = _Case(objective_class)
    if isinstance(case.objective, FeatureObjective):
        _check_fit(case.objective, case.place)
        return
    _check_parts(case)
    _check_inputs_stay(case)
    _check_chunks(case)
    _check_flags(case)
    _check_order_of_streams(case)
    _check_source_loss(case)
    _check_label_weights(case)


def _check_fit(objective: FeatureObjective, place: str) -> None:
    def fit(examples: LabelledFeatures, _: torch.Generator) -> LabelledFeatures:
        return objective.fit(*examples, NUM_TARGET_CLASSES)

    for examples, classes in example_sets():
        check_heads(fit, examples, f"with examples {classes} {place}")


class _Declared(Hyperparameters):
    """Hyperparameters of which only those that an objective lists may be read."""

    def get(self, name: str) -> Any:
        self._check(name)
        return super().get(name)

    def read(self, hyperparameter: Hyperparameter) -> Any:
        self._check(hyperparameter.read_as)
        return super().read(hyperparameter)

    def _check(self, name: str) -> None:
        assert name in self.values(), (
            "build must read only hyperparameters that the objective lists in `hyperparameters`, but reads "
            f"{name!r} and lists {', '.join(self.values()) or 'none'}"
        )


class _Case:
    """An objective with what its flags ask for: a network, batches and a relationship."""

    def __init__(self, objective_class: type[Objective]) -> None:
        self.kind, self.place = objective_class, f"({objective_class.__name__})"
        self.target = _batch(NUM_TARGET, NUM_TARGET_CLASSES, seed=1)
        source = _batch(NUM_SOURCE, NUM_SOURCE_CLASSES, seed=2, is_strong=objective_class.uses_strong_view)
        self.source = source if objective_class.uses_source else None
        table = np.random.default_rng(3).dirichlet(np.ones(NUM_SOURCE_CLASSES), size=NUM_TARGET_CLASSES)
        self.relationship: Relationship | None = table if objective_class.uses_relationship else None
        self.objective = self.build(self.relationship)

    def build(self, relationship: Relationship | None) -> Objective:
        try:
            return self.kind.build(_Declared(**values_of(self.kind.hyperparameters)), relationship)
        except Exception as error:
            raise AssertionError(
                f"build must work with what the flags ask for, but raised {error!r} {self.place}"
            ) from error

    def network(self) -> TwoHeadNetwork:
        """Make the network, in training mode, with a source head only where the objective uses one."""
        uses_head = self.kind.uses_source_head
        return small_network(source_head=uses_head, is_pretrained=uses_head and self.kind.uses_relationship).train()

    def loss(
        self, network: TwoHeadNetwork | None = None, *, target: Batch | None = None, source: Batch | None = None
    ) -> StepLoss:
        """Compute the loss of a step, by default of the whole batches."""
        target, source = target or self.target, source or self.source
        try:
            return self.objective.loss(network or self.network(), target, source)
        except Exception as error:
            given = [name for name in dir(self.kind) if name.startswith("uses_") and getattr(self.kind, name)]
            raise AssertionError(
                f"loss must work with what the flags ask for, {', '.join(given) or 'the target alone'}, but raised "
                f"{error!r} {self.place}"
            ) from error


def _batch(size: int, num_classes: int, *, seed: int, is_strong: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images, strong = (torch.randn(size, 3, 8, 8, generator=generator) for _ in range(2))
    labels = torch.randint(num_classes, (size,), generator=generator)
    return Batch(images, labels, strong if is_strong else None)


def _check_scalar(name: str, value: Tensor, *, is_differentiable: bool, place: str) -> None:
    if value.ndim != 0 or not value.isfinite().all():
        raise AssertionError(f"{name} must be a finite scalar, but has shape {tuple(value.shape)}: {value} {place}")
    if value.requires_grad != is_differentiable:
        rule = "be differentiable" if is_differentiable else "be detached"
        raise AssertionError(f"{name} must {rule}, but its requires_grad is {value.requires_grad} {place}")


def _check_parts(case: _Case) -> None:
    loss = case.loss()
    _check_scalar("the total", loss.total, is_differentiable=True, place=case.place)
    _check_scalar("the target's part", loss.target, is_differentiable=False, place=case.place)
    if loss.source is not None:
        _check_scalar("the source's part", loss.source, is_differentiable=False, place=case.place)
    elif case.kind.uses_source:
        raise AssertionError(
            f"an objective with uses_source must report the source's part, but it is None {case.place}"
        )
    for name, gradient in _gradients(case, whole=True).items():
        if not gradient.isfinite().all():
            raise AssertionError(f"every gradient must be finite, but that of {name!r} is not {case.place}")


def _check_inputs_stay(case: _Case) -> None:
    network = case.network()
    given = {
        **{f"target.{name}": value for name, value in case.target._asdict().items()},
        **({} if case.source is None else {f"source.{name}": value for name, value in case.source._asdict().items()}),
        "relationship": None if case.relationship is None else torch.from_numpy(case.relationship),
        **dict(network.state_dict()),
    }
    before = copy.deepcopy(given)
    case.loss(network).total.backward()
    for name, value in given.items():
        if value is not None and not value.equal(before[name]):
            raise AssertionError(
                f"loss must leave its inputs and the weights as they are, but changed {name} {case.place}"
            )
    if not all(module.training for module in network.modules()):
        raise AssertionError(f"loss must leave the network in training mode, but did not {case.place}")


def _gradients(case: _Case, *, whole: bool) -> dict[str, Tensor]:
    """Return the gradients of a step, and its total as `total`: of the whole batches, or summed over two chunks."""
    network, total = case.network(), torch.zeros(())
    for share, first, last in [(1.0, 0.0, 1.0)] if whole else [(0.5, 0.0, 0.5), (0.5, 0.5, 1.0)]:
        target = case.target.part(slice(int(first * NUM_TARGET), int(last * NUM_TARGET)))
        source = case.source and case.source.part(slice(int(first * NUM_SOURCE), int(last * NUM_SOURCE)))
        loss = share * case.loss(network, target=target, source=source).total
        loss.backward()
        total += loss.detach()
    found = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return {"total": total, **found}


def _check_chunks(case: _Case) -> None:
    whole, chunked = _gradients(case, whole=True), _gradients(case, whole=False)
    for name, expected in whole.items():
        gap = float((chunked[name] - expected).abs().max())
        if gap > TOLERANCE * (1 + float(expected.abs().max())):
            what = "the total" if name == "total" else f"the gradient of {name!r}"
            raise AssertionError(
                f"every term of a loss must be a mean over images, so that chunks add up, but {what} of two halves "
                f"differs from the whole step's by {gap:g} {case.place}"
            )


def _check_flags(case: _Case) -> None:
    """Check that the loss depends on each thing that a flag asks for; that it works without the others was seen."""
    total, changed = float(case.loss().total.detach()), {}
    if case.source is not None:
        other = case.source._replace(images=-case.source.images)
        changed["uses_source"] = float(case.loss(source=other).total.detach())
    if case.source is not None and case.source.strong_images is not None:
        other = case.source._replace(strong_images=-case.source.strong_images)
        changed["uses_strong_view"] = float(case.loss(source=other).total.detach())
    if case.kind.uses_source_head:
        network = case.network()
        assert network.source_head is not None, "made for an objective that uses one"
        with torch.no_grad():
            network.source_head.weight.neg_()
        changed["uses_source_head"] = float(case.loss(network).total.detach())
    if case.relationship is not None:
        other_case = copy.copy(case)
        other_case.objective = case.build(np.ascontiguousarray(case.relationship[:, ::-1]))
        changed["uses_relationship"] = float(other_case.loss().total.detach())
    for flag, value in changed.items():
        if value == total:
            raise AssertionError(f"{flag} must be False where the loss does not depend on it, but is True {case.place}")
    head = {name for name in _gradients(case, whole=True) if name.startswith("backbone.")}
    if not head:
        raise AssertionError(
            f"the loss must depend on the backbone's weights, but no gradient reaches them {case.place}"
        )


def _check_order_of_streams(case: _Case) -> None:
    network, passes = case.network(), list[Tensor]()
    network.backbone.register_forward_pre_hook(lambda _, arguments: passes.append(arguments[0]))
    case.loss(network)
    views = () if case.source is None else (case.source.images, case.source.strong_images)
    of_source = [image for view in views if view is not None for image in view]
    for images in passes:
        for place, image in enumerate(images[:NUM_TARGET]):
            if not is_part_of(images, case.source) and any(image.equal(other) for other in of_source):
                raise AssertionError(
                    f"a pass of the network must begin with all of the target's images, or be of the source alone, "
                    f"but image {place} of {len(images)} is the source's; the target's batch has "
                    f"{NUM_TARGET} {case.place}"
                )


def _check_source_loss(case: _Case) -> None:
    if case.source is None:
        return
    try:
        alone = case.objective.source_loss(case.network(), case.source)
    except Exception as error:
        raise AssertionError(
            f"an objective with uses_source must have a source_loss, but it raised {error!r} {case.place}"
        ) from error
    _check_scalar("the loss on the source alone", alone, is_differentiable=True, place=case.place)
    part = case.loss().source
    if part is not None and abs(float(alone.detach()) - float(part)) > TOLERANCE * (1 + abs(float(part))):
        raise AssertionError(
            f"source_loss must be the source's part of the step, before its weight, but is {float(alone.detach()):g} "
            f"and the part {float(part):g} {case.place}"
        )


def _check_label_weights(case: _Case) -> None:
    target, source = _with_rows(case.target, NUM_TARGET_CLASSES), case.source
    if source is not None and case.kind.uses_source_head and not case.kind.uses_strong_view:
        source = _with_rows(source, NUM_SOURCE_CLASSES)
    total = float(case.loss().total.detach())
    try:
        found = float(case.objective.loss(case.network(), target, source).total.detach())
    except Exception as error:
        raise AssertionError(
            "loss must take labels as weights of the classes, (B, K) float32, as F.cross_entropy does, but raised "
            f"{error!r} {case.place}"
        ) from error
    if abs(found - total) > TOLERANCE * (1 + abs(total)):
        raise AssertionError(
            f"the total must be the same, {total:g}, where labels are one-hot rows, but is {found:g} {case.place}"
        )


def _with_rows(batch: Batch, num_classes: int) -> Batch:
    return batch._replace(labels=F.one_hot(batch.labels, num_classes).float())

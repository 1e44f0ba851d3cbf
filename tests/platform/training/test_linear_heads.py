"""Linear heads against scikit-learn on the same features, and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from pretrieve.training.linear_heads import choose_l2, class_means, logistic_regression


def clouds(num_classes: int, per_class: int, dim: int, *, spread: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw features around a centre a class, far from the origin and of a small scale, as those of a network are."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(num_classes, dim, generator=generator)
    labels = torch.arange(num_classes * per_class) % num_classes
    noise = spread * torch.randn(len(labels), dim, generator=generator)
    return 0.3 * (centres[labels] + noise) + 2.0, labels


@pytest.mark.parametrize(("num_classes", "per_class", "dim"), [(5, 6, 80), (5, 40, 12), (2, 9, 30), (2, 60, 7)])
@pytest.mark.parametrize("l2", [0.3, 30.0])
def test_a_probe_is_the_solution_of_scikit_learn(num_classes: int, per_class: int, dim: int, l2: float) -> None:
    """Fewer images than features, and more; two classes, and more."""
    features, labels = clouds(num_classes, per_class, dim)
    held_out, _ = clouds(num_classes, 20, dim, seed=1)
    scale = float((features - features.mean(0)).double().square().mean().sqrt())
    model = LogisticRegression(C=1 / l2, tol=1e-9, max_iter=100_000).fit(
        features.double().numpy() / scale, labels.numpy()
    )
    head = logistic_regression(features, labels, num_classes=num_classes, l2=l2)
    found = (held_out @ head.weight.T + head.bias).double().softmax(1).numpy()
    np.testing.assert_allclose(found, model.predict_proba(held_out.double().numpy() / scale), atol=1e-4)


def test_a_probe_does_not_depend_on_the_scale_or_the_origin_of_the_features() -> None:
    features, labels = clouds(3, 8, 20)
    first, second = (logistic_regression(f, labels, num_classes=3, l2=3.0) for f in (features, 50 * features - 7))
    expected = features @ first.weight.T + first.bias
    torch.testing.assert_close((50 * features - 7) @ second.weight.T + second.bias, expected, atol=1e-3, rtol=1e-3)


def test_a_class_without_images_is_unlikely_and_not_impossible() -> None:
    features, labels = clouds(3, 8, 20)
    labels = labels + (labels > 0)  # none of class 1
    for head in (
        logistic_regression(features, labels, num_classes=4, l2=3.0),
        class_means(features, labels, num_classes=4),
    ):
        assert head.weight[1].eq(0).all()
        absent = (features @ head.weight.T + head.bias).softmax(1)[:, 1]
        assert 0 < float(absent.max()) <= 1.001 / (len(features) + 1)


def test_images_of_one_class_alone_are_all_of_that_class() -> None:
    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    head = logistic_regression(features, torch.full((4,), 2), num_classes=3, l2=1.0)
    assert (features @ head.weight.T + head.bias).argmax(1).tolist() == [2, 2, 2, 2]


def test_equal_features_tell_the_frequent_class() -> None:
    labels = torch.tensor([0, 1, 1])
    head = logistic_regression(torch.ones(3, 5), labels, num_classes=2, l2=1.0)
    probabilities = (torch.ones(1, 5) @ head.weight.T + head.bias).softmax(1)
    assert probabilities[0].tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-3)


def test_class_means_are_nearest_by_cosine() -> None:
    features, labels = clouds(4, 5, 16)
    others, _ = clouds(4, 10, 16, seed=2)
    means = torch.stack([features[labels == label].mean(0) for label in range(4)])
    expected = torch.nn.functional.cosine_similarity(others[:, None], means[None], dim=2).argmax(1)
    head = class_means(features, labels, num_classes=4)
    assert (others @ head.weight.T + head.bias).argmax(1).equal(expected)
    assert head.bias.eq(0).all()


def test_the_scale_of_class_means_gives_left_out_images_the_highest_likelihood() -> None:
    features, labels = clouds(3, 6, 10, spread=1.5)
    head = class_means(features, labels, num_classes=3)

    def loss(factor: float) -> float:
        logits = []
        for row, label in enumerate(labels.tolist()):
            others = torch.ones(len(labels), dtype=torch.bool)
            others[row] = False
            means = torch.stack([features[(labels == k) & (others | (labels != label))].mean(0) for k in range(3)])
            logits.append(torch.nn.functional.normalize(means, dim=1) @ features[row])
        scale = float(head.weight.norm(dim=1).mean()) * factor
        return float(torch.nn.functional.cross_entropy(scale * torch.stack(logits), labels))

    assert loss(1.0) < min(loss(0.9), loss(1.1))


def test_class_means_of_single_images_have_a_scale() -> None:
    features = torch.eye(3) + 0.1
    head = class_means(features, torch.arange(3), num_classes=3)
    assert head.weight.isfinite().all()
    assert (features @ head.weight.T).argmax(1).tolist() == [0, 1, 2]


def test_the_strength_is_that_of_the_best_held_out_likelihood() -> None:
    """Pure noise wants the strongest penalty, well separated classes a weak one."""
    candidates = (0.1, 1.0, 10.0, 1000.0)
    noise, labels = clouds(4, 10, 40, spread=100.0)
    assert choose_l2(noise, labels, candidates) == 1000.0
    clear, labels = clouds(4, 10, 40, spread=0.2)
    assert choose_l2(clear, labels, candidates) < 10.0


def test_nothing_can_be_held_out_of_single_images() -> None:
    assert choose_l2(torch.eye(3), torch.arange(3), (1.0, 3.0, 10.0)) == 3.0


def test_a_weak_penalty_is_found_for_many_images_too() -> None:
    features, labels = clouds(3, 1_000, 8, spread=0.3)
    assert math.isfinite(choose_l2(features, labels, (1.0, 100.0)))

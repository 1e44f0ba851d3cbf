"""The temperature of class scores, compared with brute force and with data that were drawn with one."""

from __future__ import annotations

import numpy as np
import pytest

from pretrieve.statistics import fit_temperature


def drawn(rng: np.random.Generator, temperature: float, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw class scores, and labels with the probabilities softmax(scores / temperature)."""
    scores = rng.normal(size=(number, 4)) * 3 * temperature
    shares = np.exp(scores / temperature)
    shares /= shares.sum(axis=1, keepdims=True)
    labels = (rng.random((number, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return scores, labels


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_the_temperature_of_drawn_labels_is_found(rng: np.random.Generator, temperature: float) -> None:
    scores, labels = drawn(rng, temperature, 20_000)
    assert fit_temperature(scores.astype(np.float32), labels) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_is_likelier(rng: np.random.Generator) -> None:
    scores, labels = drawn(rng, 2.0, 60)

    def surprise(temperature: float) -> float:
        shares = np.exp(scores / temperature)
        shares /= shares.sum(axis=1, keepdims=True)
        return float(np.log(temperature) ** 2 / 2 - np.log(shares[np.arange(60), labels]).sum())

    grid = np.geomspace(0.05, 50, 4_000)
    best = grid[np.argmin([surprise(each) for each in grid])]
    assert fit_temperature(scores, labels) == pytest.approx(best, rel=0.005)


def test_few_images_that_are_all_right_leave_a_doubt() -> None:
    scores = np.eye(3)
    assert 0.1 < fit_temperature(scores, np.arange(3)) < fit_temperature(scores[:1], np.array([0])) < 1


def test_large_scores_do_not_overflow() -> None:
    assert np.isfinite(fit_temperature(np.array([[1e30, -1e30], [0.0, 1e30]]), np.array([1, 1])))

"""Every metric keeps the contract, and the check finds those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pretrieve.components import METRICS
from pretrieve.metrics import Metric
from pretrieve.testing.metrics import check_metric


@pytest.mark.parametrize("word", METRICS.built_in())
def test_a_built_in_metric_keeps_the_contract(word: str) -> None:
    check_metric(METRICS.build(word, {}))


def test_the_files_of_the_folder_are_the_built_in_metrics(request: pytest.FixtureRequest) -> None:
    folder = request.config.rootpath / "platform" / "pretrieve" / "metrics"
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert files == set(METRICS.built_in())


class Broken(Metric):
    """A metric that keeps the contract until a part of it is replaced."""

    name = "broken"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return float((logits.argmax(axis=1) == labels).mean())


class Nameless(Broken):
    name = "val/broken"


class Percent(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return 100 * super()._compute(logits, labels)


class PercentUnchecked(Broken):
    def compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return 100 * super().compute(logits, labels)


class Error(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return 1 - super()._compute(logits, labels)


class Constant(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return 1.0


class Ordered(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return float(np.average(logits.argmax(axis=1) == labels, weights=np.arange(1, len(labels) + 1)))


class Counting(Broken):
    num_calls = 0

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        self.num_calls += 1
        return super()._compute(logits, labels) / self.num_calls


class Sorting(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        value = super()._compute(logits, labels)
        labels.sort()
        return value


class EveryClass(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        assert len(np.unique(labels)) == logits.shape[1], "a class has no image"
        return super()._compute(logits, labels)


class Finite(Broken):
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        assert np.isfinite(logits).all(), "not finite"
        return super()._compute(logits, labels)


class OfNothing(Broken):
    def compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return super().compute(logits, labels) if len(labels) else 0.0


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        (Nameless(), "the name of Nameless must be of letters, digits and _ - ., but is 'val/broken'"),
        (Percent(), r"'broken' must give a number for drawn outputs, but raised ValueError.*in \[0, 1\], but gave 80"),
        (PercentUnchecked(), r"'broken' must be in \[0, 1\], but is 80.0 for drawn outputs"),
        (Error(), "'broken' must be 1 for perfect outputs, but is 0.0"),
        (Constant(), "'broken' must be below 1 where every image is wrong, but is 1.0"),
        (Ordered(), r"'broken' must not read the order of images: 0\.\d+ became 0\.\d+"),
        (Counting(), "'broken' must give the same for the same inputs, but gave"),
        (Sorting(), "'broken' must leave its inputs as they are, but changed those of drawn outputs"),
        (EveryClass(), "'broken' must give a number for no image of class 3, but raised AssertionError"),
        (Finite(), "'broken' must give a number for outputs with NaN and ∞, but raised AssertionError"),
        (OfNothing(), "'broken' must raise ValueError where there is no image, but gave 0.0"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Metric) else "",
)
def test_a_metric_that_breaks_the_contract_is_found(metric: Metric, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_metric(metric)

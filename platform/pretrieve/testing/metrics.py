"""What every metric must do, as a check to run over one of your own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics import Metric
from pretrieve.metrics._base import NAME_PATTERN

_NUM_CLASSES = 4


def check_metric(metric: Metric) -> None:
    """Check that a metric keeps the contract of `pretrieve.metrics.Metric`.

    It must give a number in [0, 1], 1 for perfect outputs and less where every image is wrong, the same for the same
    images in any order and when asked again; leave its inputs as they are; accept a class without images and outputs
    that are not finite; and refuse a split without an image.

    Raises:
      AssertionError: it does not; the message says which rule, with the value and the inputs.

    >>> from pretrieve.metrics.top1 import Top1
    >>> check_metric(Top1())
    """
    kind = type(metric).__qualname__
    named = isinstance(getattr(metric, "name", None), str) and NAME_PATTERN.fullmatch(metric.name)
    assert named, f"the name of {kind} must be of letters, digits and _ - ., but is {getattr(metric, 'name', None)!r}"
    assert isinstance(metric.label, str), f"the label of {kind} must be text, but is {metric.label!r}"
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(_NUM_CLASSES), (40, 12, 5, 3)))
    right = np.eye(_NUM_CLASSES)[labels]
    drawn = 2 * right + rng.normal(size=right.shape)
    value = _checked(metric, drawn, labels, "drawn outputs")
    again = _checked(metric, drawn, labels, "drawn outputs")
    assert value == again, f"{metric.name!r} must give the same for the same inputs, but gave {value} and {again}"
    order = rng.permutation(len(labels))
    turned = _checked(metric, drawn[order], labels[order], "drawn outputs in another order")
    assert abs(value - turned) < 1e-9, f"{metric.name!r} must not read the order of images: {value} became {turned}"
    perfect = _checked(metric, 10 * right, labels, "perfect outputs")
    assert abs(perfect - 1) < 1e-9, f"{metric.name!r} must be 1 for perfect outputs, but is {perfect}"
    wrong = _checked(metric, -10 * right, labels, "outputs that are wrong for every image")
    assert wrong < 1, f"{metric.name!r} must be below 1 where every image is wrong, but is {wrong}"
    present = labels != _NUM_CLASSES - 1
    _checked(metric, drawn[present], labels[present], f"no image of class {_NUM_CLASSES - 1}")
    overflowed = drawn.copy()
    overflowed[0], overflowed[1, 0] = np.nan, np.inf
    _checked(metric, overflowed, labels, "outputs with NaN and ∞")
    try:
        of_none = metric.compute(drawn[:0], labels[:0])
    except ValueError:
        return
    raise AssertionError(f"{metric.name!r} must raise ValueError where there is no image, but gave {of_none}")


def _checked(metric: Metric, logits: NDArray[np.float64], labels: NDArray[np.int64], place: str) -> float:
    given = logits.copy(), labels.copy()
    try:
        value = metric.compute(*given)
    except Exception as error:
        raise AssertionError(f"{metric.name!r} must give a number for {place}, but raised {error!r}") from error
    unchanged = np.array_equal(given[0], logits, equal_nan=True) and np.array_equal(given[1], labels)
    assert unchanged, f"{metric.name!r} must leave its inputs as they are, but changed those of {place}"
    assert isinstance(value, float), f"{metric.name!r} must give a float, but gave {value!r} for {place}"
    assert 0 <= value <= 1, f"{metric.name!r} must be in [0, 1], but is {value} for {place}"
    return value

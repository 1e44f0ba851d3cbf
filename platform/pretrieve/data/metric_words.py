"""The metrics that a study or an image set names."""

from __future__ import annotations

from collections.abc import Sequence

from pretrieve.components import METRICS
from pretrieve.errors import ComponentError
from pretrieve.metric_names import RESERVED_NAMES
from pretrieve.metrics import Metric
from pretrieve.metrics._base import NAME_PATTERN


def find_metrics(words: Sequence[str]) -> list[Metric]:
    """Return the metrics that words name, in their order.

    Raises:
      ComponentError: a word is unknown, or known to the running script alone; a metric has no name that MLflow can
        hold; or two have the same name.

    >>> [metric.label for metric in find_metrics(["top1", "auroc"])]
    ['top-1 accuracy', 'mean AUROC']
    """
    for word in words:
        METRICS.find_for_study(word)
    found: dict[str, str] = {}
    metrics: list[Metric] = [METRICS.build(word, {}) for word in words]
    for word, metric in zip(words, metrics, strict=True):
        name = str(getattr(metric, "name", ""))
        if not NAME_PATTERN.fullmatch(name) or name in RESERVED_NAMES:
            raise ComponentError(
                f"the name of a metric must be of letters, digits and _ - ., and none of "
                f"{', '.join(sorted(RESERVED_NAMES))}, but that of {word!r} is {name!r}; give its class another `name`"
            )
        if name in found:
            raise ComponentError(
                f"the metrics of an image set must differ by name, but {found[name]!r} and {word!r} both have the name "
                f"{name!r}; leave one out, or give its class another `name`"
            )
        found[name] = word
    return metrics

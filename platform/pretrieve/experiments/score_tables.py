"""The findings of an experiment that is one study: its scores, laid out as the paper's table has them."""

from __future__ import annotations

from collections.abc import Callable

from pretrieve.experiments._base import Results
from pretrieve_dashboards.comparison import Published, method_values, score_comparison
from pretrieve_dashboards.experiment import Findings


def scores_of(
    point: str, title: str, published: Published, *, methods: tuple[str, ...]
) -> Callable[[Results], Findings]:
    """Make what lays out the scores of a study, methods as rows, beside the paper's.

    Args:
      point: label of the study in its series.
      title: of the table.
      published: the paper's table.
      methods: the rows, in the paper's order.
    """

    def find(results: Results) -> Findings:
        record = results.records.get(point)
        values = {} if record is None else method_values(record)
        return Findings((score_comparison(title, "method", values, published, rows=methods),))

    return find

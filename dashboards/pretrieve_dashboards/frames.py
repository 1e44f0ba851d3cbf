"""A study as pandas data frames. Scores are fractions in [0, 1]; unknown numbers are NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pretrieve.records import CellRecord, StudyRecord
from pretrieve_dashboards.errors import DashboardError
from pretrieve_dashboards.views.paired import paired_differences

if TYPE_CHECKING:
    import pandas as pd


def best_frame(record: StudyRecord, target: str) -> pd.DataFrame:
    """Return the best configuration of each method for a target of a finished or unfinished study.

    Returns:
      One row per method, sorted by validation score, best first. Columns: `val_score`; `test_mean`, the half width
      `test_ci95` of its 95% interval and the bounds `test_low` and `test_high`; `num_refits`, the number of refits with
      a score; a column for each hyperparameter; `run_id` of the cell.

    Raises:
      DashboardError: the study has no such target.
    """
    import pandas as pd

    cells = [cell for cell in record.cells if cell.target == target]
    if not cells:
        names = ", ".join(each.name for each in record.targets)
        raise DashboardError(f"the target must be one of the study, one of {names}, but is {target!r}")
    columns = list(dict.fromkeys(name for cell in cells for name in cell.best or {}))
    rows = [_best_row(cell, columns) for cell in cells]
    frame = pd.DataFrame(rows, index=pd.Index([cell.method for cell in cells], name="method"))
    floats = {name: "float64" for name in frame.columns if name not in ("num_refits", "run_id")}
    return frame.astype(floats).sort_values("val_score", ascending=False, kind="stable", na_position="last")


def _best_row(cell: CellRecord, names: list[str]) -> dict[str, Any]:
    best = cell.best or {}
    mean, ci95 = cell.test_mean, cell.test_ci95
    return {
        "val_score": cell.best_val_score,
        "test_mean": mean,
        "test_ci95": ci95,
        "test_low": None if mean is None or ci95 is None else mean - ci95,
        "test_high": None if mean is None or ci95 is None else mean + ci95,
        "num_refits": sum(refit.score is not None for refit in cell.refits),
        **{name: best.get(name) for name in names},
        "run_id": cell.run_id,
    }


def compare_frame(record: StudyRecord, method: str, baseline: str) -> pd.DataFrame:
    """Compare a method with a baseline on each target of a finished or unfinished study, seed by seed.

    Returns:
      One row for each target on which both have refits with the same seed, and the row `average` if that is so for
      all targets. Columns: `difference` of the mean test scores, method − baseline; the half width `ci95` of its 95%
      interval; the bounds `low` and `high`; `num_seeds`.

    Raises:
      DashboardError: the study has no such method or baseline.
    """
    import pandas as pd

    if method not in record.methods:
        raise DashboardError(
            f"the method must be one of the study, one of {', '.join(record.methods)}, but is {method!r}"
        )
    found = [each for each in paired_differences(record, baseline) if each.method == method]
    rows = [(each.mean, each.ci95, each.mean - each.ci95, each.mean + each.ci95, each.num_seeds) for each in found]
    return pd.DataFrame(
        rows,
        index=pd.Index([each.target for each in found], name="target", dtype="object"),
        columns=["difference", "ci95", "low", "high", "num_seeds"],
    ).astype({"difference": "float64", "ci95": "float64", "low": "float64", "high": "float64", "num_seeds": "int64"})

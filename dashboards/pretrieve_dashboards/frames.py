"""Results of a study as pandas frames: the best configurations for a target, and a method beside another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrieve.records import StudyRecord
from pretrieve_dashboards.differences import paired_differences
from pretrieve_dashboards.errors import DashboardError

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
    hyperparameters = dict.fromkeys(name for cell in cells for name in cell.best or {})
    rows = [
        {
            "val_score": cell.best_val_score,
            "test_mean": cell.test_mean,
            "test_ci95": cell.test_ci95,
            "num_refits": sum(refit.score is not None for refit in cell.refits),
            **{name: (cell.best or {}).get(name) for name in hyperparameters},
            "run_id": cell.run_id,
        }
        for cell in cells
    ]
    frame = pd.DataFrame(rows, index=pd.Index([cell.method for cell in cells], name="method"))
    frame = frame.astype({name: "float64" for name in frame.columns if name not in ("num_refits", "run_id")})
    frame.insert(3, "test_low", frame["test_mean"] - frame["test_ci95"])
    frame.insert(4, "test_high", frame["test_mean"] + frame["test_ci95"])
    return frame.sort_values("val_score", ascending=False, kind="stable", na_position="last")


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
    names = pd.Index([each.target for each in found], name="target", dtype="object")
    frame = pd.DataFrame(rows, names, ["difference", "ci95", "low", "high", "num_seeds"], dtype="float64")
    return frame.astype({"num_seeds": "int64"})

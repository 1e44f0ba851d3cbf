"""What leaks are worth: scores without the source images that show test images, and with them."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.intervals import mean_and_ci95
from pretrieve.records import CellRecord, StudyRecord


@dataclass(frozen=True)
class LeakRow:
    """One cell of which an audit left out images, refits of the same seeds with each other.

    Attributes:
      target: name of the target.
      method: name of the method.
      num_seeds: pairs of refits.
      without: mean test score without the leaks, in [0, 1], over these seeds: what the table shows.
      with_leaks: the same with them.
      gain: mean of the differences, with − without.
      gain_ci95: half width of its 95% interval (Student's t over the seeds); NaN with one seed.
      run_id: MLflow run of the cell.
    """

    target: str
    method: str
    num_seeds: int
    without: float
    with_leaks: float
    gain: float
    gain_ci95: float
    run_id: str | None = None


def leak_rows(record: StudyRecord) -> tuple[LeakRow, ...]:
    """Return a row for each cell of a study that was trained both without and with leaks, in the order of the table."""
    rows = (_row(cell) for cell in record.cells)
    return tuple(row for row in rows if row is not None)


def _row(cell: CellRecord) -> LeakRow | None:
    with_leaks = {refit.seed: refit.score for refit in cell.refits_with_leaks}
    pairs = [
        (refit.score, score)
        for refit in cell.refits
        if refit.score is not None and (score := with_leaks.get(refit.seed)) is not None
    ]
    if not pairs:
        return None
    gain, gain_ci95 = mean_and_ci95([leaky - clean for clean, leaky in pairs])
    clean, leaky = (sum(scores) / len(pairs) for scores in zip(*pairs, strict=True))
    return LeakRow(cell.target, cell.method, len(pairs), clean, leaky, gain, gain_ci95, cell.run_id)

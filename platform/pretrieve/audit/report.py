"""What an audit found: pairs, thresholds and how much was compared."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.audit.calibration import AuditThresholds, Threshold
from pretrieve.records import LeakPair as LeakPair


@dataclass(frozen=True)
class LeakReport:
    """The result of an audit.

    Attributes:
      pairs: by source index, then by test index.
      thresholds: the decision lines, with the recall and false alarms to expect.
      num_source: source images that were compared; likewise `num_test`.
      num_candidates: pairs whose pixels were compared.
      broken_source: "path: reason" of each source image that does not decode; likewise `broken_test`.
    """

    pairs: tuple[LeakPair, ...]
    thresholds: AuditThresholds
    num_source: int
    num_test: int
    num_candidates: int
    broken_source: tuple[str, ...] = ()
    broken_test: tuple[str, ...] = ()

    @property
    def num_compared(self) -> int:
        """Pairs of images that were compared."""
        return self.num_source * self.num_test

    @property
    def source_indices(self) -> tuple[int, ...]:
        """The source images that leak, ascending, each once."""
        return tuple(sorted({pair.source_index for pair in self.pairs}))

    @property
    def test_indices(self) -> tuple[int, ...]:
        """The test images that are leaked, ascending, each once."""
        return tuple(sorted({pair.test_index for pair in self.pairs}))

    def summary(self) -> list[str]:
        """Describe in a few lines what was found, how much was compared and how it was decided."""
        thresholds = self.thresholds
        lines = [
            f"{len(self.pairs)} leaks: {len(self.source_indices):,} of {self.num_source:,} source images show "
            f"{len(self.test_indices):,} of {self.num_test:,} test images",
            f"{self.num_compared:,} pairs compared, {self.num_candidates:,} looked at",
            _describe("hash distance at most", thresholds.hash_distance),
            _describe("likeness at least", thresholds.likeness),
        ]
        recall = ", ".join(f"{name} {share:.1%}" for name, share in thresholds.recall_by_alteration.items())
        if recall:
            lines.append(f"known copies found by hash and pixels: {recall}")
        for side, broken in (("source", self.broken_source), ("test", self.broken_test)):
            if broken:
                lines.append(f"{len(broken)} broken {side} images were left out, the first: {broken[0]}")
        return lines


def _describe(rule: str, threshold: Threshold) -> str:
    short = "" if threshold.reaches_recall else "; less recall than asked for, because false alarms are bounded"
    return (
        f"{rule} {threshold.value:.4g}: {threshold.recall:.1%} of {threshold.num_copies:,} known copies, at most "
        f"{threshold.false_alarm_bound:.2g} of {threshold.num_others:,} pairs of different images{short}"
    )

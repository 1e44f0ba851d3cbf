"""What an audit found: pairs, thresholds and how much was compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from pretrieve.audit.calibration import AuditThresholds
from pretrieve.audit.thresholds import Threshold
from pretrieve.audit.verification import Kind

TABLE_SCHEMA = pa.schema(
    [
        ("source_index", pa.int64()),
        ("test_index", pa.int64()),
        ("kind", pa.string()),
        ("likeness", pa.float64()),
        ("correlation", pa.float64()),
        ("detail", pa.float64()),
        ("colour_error", pa.float64()),
        ("hash_distance", pa.int64()),
        ("cosine", pa.float64()),
    ]
)


@dataclass(frozen=True)
class LeakPair:
    """A source image that shows what a test image shows.

    Attributes:
      source_index: of the source image.
      test_index: of the test image.
      kind: how the two differ.
      likeness: what the decision was made on, at most 1.
      correlation: of the grey images where they fit best.
      detail: of the images without their large shapes.
      colour_error: mean difference, 0 … 255.
      hash_distance: bits; None where the features alone brought the pair up.
      cosine: of the features; None without them, or below their threshold.
    """

    source_index: int
    test_index: int
    kind: Kind
    likeness: float
    correlation: float
    detail: float
    colour_error: float
    hash_distance: int | None
    cosine: float | None


@dataclass(frozen=True)
class LeakReport:
    """The result of an audit.

    Attributes:
      pairs: by source index, then by test index.
      thresholds: what decided, and what recall and false alarms to expect.
      num_source: source images that were compared.
      num_test: test images that were compared.
      num_candidates: pairs whose pixels were looked at.
      broken_source: "path: reason" of each image that does not decode.
      broken_test: likewise.
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
        """The source images that leak, ascending, each once; see `leaked_rows.drop_rows`."""
        return tuple(sorted({pair.source_index for pair in self.pairs}))

    @property
    def test_indices(self) -> tuple[int, ...]:
        """The test images that are leaked, ascending, each once."""
        return tuple(sorted({pair.test_index for pair in self.pairs}))

    def to_table(self) -> pa.Table:
        """Return a row a pair, see TABLE_SCHEMA."""
        return pa.Table.from_pylist([asdict(pair) for pair in self.pairs], schema=TABLE_SCHEMA)

    def to_json(self) -> str:
        """Return everything as JSON; what is infinite becomes null."""
        value = {**asdict(self), "num_compared": self.num_compared}
        return json.dumps(_finite(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def to_text(self) -> str:
        """Return what a person wants to know, in a few lines, and a line a pair."""
        return "\n".join([*self.summary(), "", *_lines_of(self.pairs)])

    def summary(self) -> list[str]:
        """Return the lines of `to_text` that stand above the pairs."""
        thresholds = self.thresholds
        lines = [
            f"{len(self.pairs)} leaks: {len(self.source_indices):,} of {self.num_source:,} source images show "
            f"{len(self.test_indices):,} of {self.num_test:,} test images",
            f"{self.num_compared:,} pairs compared, {self.num_candidates:,} looked at",
            _describe("hash distance at most", thresholds.hash_distance),
            _describe("likeness at least", thresholds.likeness),
        ]
        if thresholds.cosine is not None:
            lines.append(_describe("or cosine at least", thresholds.cosine))
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


def _lines_of(pairs: Iterable[LeakPair]) -> list[str]:
    lines = [f"{'source':>9} {'test':>9}  {'likeness':>8} {'corr':>6} {'detail':>6} {'colour':>6} {'bits':>5}  kind"]
    for pair in pairs:
        bits = "–" if pair.hash_distance is None else str(pair.hash_distance)
        lines.append(
            f"{pair.source_index:>9} {pair.test_index:>9}  {pair.likeness:>8.3f} {pair.correlation:>6.3f} "
            f"{pair.detail:>6.3f} {pair.colour_error:>6.1f} {bits:>5}  {pair.kind}"
        )
    return lines


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

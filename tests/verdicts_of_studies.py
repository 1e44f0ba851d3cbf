"""Records of studies with a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pretrieve.records import ContrastVerdict, StudyRecord, VerdictRecord


def with_verdict(record: StudyRecord, contrasts: Sequence[tuple[str, str, str | None, str, bool]]) -> StudyRecord:
    """Give a study a verdict of three repeats: first, second, target, word, and whether it is exploratory."""
    found = tuple(
        ContrastVerdict(
            first=first,
            second=second,
            target=target,
            word=word,
            sentence=f"{first} is {word} beside {second} on {target or 'average'}.",
            differences=(0.01, 0.02, 0.03),
            mean=0.02,
            low=0.005,
            high=0.035,
            level=0.96,
            is_exploratory=is_exploratory,
        )
        for first, second, target, word, is_exploratory in contrasts
    )
    return replace(record, verdict=VerdictRecord(0.01, 3, (3,), found))

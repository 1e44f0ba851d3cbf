"""Extending a study by repeats, until its contrasts are decided or its budget is used up."""

from __future__ import annotations

import time
from typing import Literal

from pretrieve.errors import BudgetUsedUpError, UserError
from pretrieve.records import StudyRecord, VerdictRecord
from pretrieve.stages.observer import StudyObserver
from pretrieve.statistics import LOOKS
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import extended_to, run_study, with_draws

NO_END_FROM = 10
"""Repeats from which "no number of repeats would decide it" is an answer: with fewer, the spread is hardly known."""


def extend_study(
    settings: StudySettings,
    observer: StudyObserver,
    *,
    until: Literal["decided"] | int = "decided",
    budget_s: float | None = None,
) -> StudyRecord:
    """Run a study, and add repeats to it.

    Each verdict on the way is a look, and has a part of the level: at 5, 10, 20, 30, 60 and 100 repeats, and wherever a
    run ended. A killed extension goes on from where it was, and comes to the same table and verdict.

    Args:
      settings: of the study; `repeats.draws` is where it begins.
      observer: hears what happens.
      until: `decided`, when each primary contrast has a verdict or no number of repeats would give it one, or when 100
        repeats were looked at; or a number of repeats, with one look at its end.
      budget_s: seconds of wall time that this call may take; None sets no limit.

    Returns:
      The record of the study after its last look.

    Raises:
      UserError: the study compares no rows, or is to be looked at once; or it cannot run.
      BudgetUsedUpError: the budget was used up first; a further call goes on.
      TrialsFailedError: some trials ended in an error.
    """
    _check(settings, until)
    began_s = time.monotonic()

    def left_s() -> float | None:
        return None if budget_s is None else budget_s - (time.monotonic() - began_s)

    draws = max(settings.repeats.draws, extended_to(settings))
    record = None if draws == 1 else run_study(settings, observer, run_s=left_s())
    while record is None or not _is_done(record, until, draws):
        draws = _next_look(until, draws)
        if (left := left_s()) is not None and left <= 0:
            raise BudgetUsedUpError(
                f"the budget of {budget_s:.0f} s is used up before {draws} repeats; extend the study again to go on"
            )
        if record is not None:
            observer.noticed(f"{_undecided(record)}: the study is extended to {draws} repeats")
        record = run_study(with_draws(settings, draws), observer, extends=True, run_s=left)
    return record


def _check(settings: StudySettings, until: Literal["decided"] | int) -> None:
    if not settings.named_contrasts:
        raise UserError(
            f"a study must compare rows to be extended, but {settings.name!r} has no contrasts; name pairs of its rows "
            f"in `contrasts`: {', '.join(settings.method_names)}"
        )
    if settings.repeats.looks == "one":
        raise UserError(
            f"a study that is looked at once cannot be extended, but study {settings.name!r} has repeats.looks 'one'; "
            "leave it out before the first trial of a study that may be extended"
        )
    if isinstance(until, int) and until < 2:
        raise UserError(f"a study is extended until it is `decided` or has 2 repeats or more, but until is {until}")


def _is_done(record: StudyRecord, until: Literal["decided"] | int, draws: int) -> bool:
    if until != "decided":
        return draws >= until
    return draws >= LOOKS[-1] or (record.verdict is not None and _is_settled(record.verdict))


def _is_settled(verdict: VerdictRecord) -> bool:
    """Return whether each primary contrast is decided, or would be by no number of repeats."""
    return bool(verdict.primary) and all(
        each.is_decided
        or (verdict.num_repeats >= NO_END_FROM and each.low is not None and each.repeats_to_decide is None)
        for each in verdict.primary
    )


def _next_look(until: Literal["decided"] | int, draws: int) -> int:
    return next(look for look in LOOKS if look > draws) if until == "decided" else until


def _undecided(record: StudyRecord) -> str:
    verdict = record.verdict
    if verdict is None or not verdict.primary:
        return "there is no verdict yet"
    number = sum(not each.is_decided for each in verdict.primary)
    return f"{number} of {len(verdict.primary)} contrasts are undecided at {verdict.num_repeats} repeats"

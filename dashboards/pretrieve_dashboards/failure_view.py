"""What went wrong in a study by its kind, and what was done about each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pretrieve.records import StudyRecord

POLICIES = {
    "node lost": "the trial goes on elsewhere from its last epoch, as often as it takes",
    "process lost": "the trial goes on from its last epoch, up to 5 times",
    "out of memory": "a step is computed in smaller parts",
    "hung": "ended after too long without a step, goes on from its last epoch, up to twice",
    "disk full": "what is written to the study's folder waits until there is room; elsewhere, tried again up to twice",
    "program error": "the other trials of its cell are not started; mend it and run the study again",
    "diverged": "a result: the configuration has no score",
}


@dataclass(frozen=True)
class FailureRow:
    """One kind of failure in a study.

    Attributes:
      kind: of failure, or `diverged`.
      num_interruptions: processes that it ended, whose trials were started again.
      num_trials: trials and refits that it is the end of, so far.
      policy: what is done about it.
    """

    kind: str
    num_interruptions: int
    num_trials: int
    policy: str


def failure_rows(record: StudyRecord) -> tuple[FailureRow, ...]:
    """Return a row for each kind that a study met, in the order of the policies."""
    trials = [trial for cell in record.cells for trial in (*cell.trials, *cell.refits, *cell.refits_with_leaks)]
    interruptions: Counter[str] = Counter()
    for trial in trials:
        interruptions.update(trial.interruptions)
    ends = Counter(trial.failure or "program error" for trial in trials if trial.state == "failed")
    ends["diverged"] = sum(trial.state == "diverged" for trial in trials)
    kinds = dict.fromkeys([*POLICIES, *interruptions, *ends])
    return tuple(
        FailureRow(kind, interruptions[kind], ends[kind], POLICIES.get(kind, ""))
        for kind in kinds
        if interruptions[kind] or ends[kind]
    )

"""What the driver makes of the ends of trials; the ledger is a stand-in that knows how each spool ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pretrieve.stages.budget import BudgetKeeper, BudgetSettings
from pretrieve.stages.ledger_watcher import LedgerWatcher
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.trial_progress import TrialProgress
from pretrieve.tracking.spool import FailureKind
from pretrieve.tracking.trial_state import TrialState
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec


class StandIn:
    """A ledger of trials whose ends are given."""

    def __init__(self, ends: dict[str, TrialState]) -> None:
        self.finished: dict[str, Any] = {}
        self.failed: list[str] = []
        self.messages: dict[str, str] = {}
        self.released: list[str] = []
        self._ends = ends

    def end_of(self, key: str) -> TrialState:
        return self._ends[key]

    def release_spool(self, key: str) -> None:
        self.released.append(key)

    def failure_message(self, key: str) -> str:
        return self.messages.get(key, "")

    def fail(self, key: str, message: str, failure: FailureKind) -> None:
        self.failed.append(key)
        self.messages[key] = message
        self._ends[key] = TrialState(key, "failed", failure=failure)


def trial(key: str) -> Any:
    """Make what the watcher reads of a task."""
    spec = TrialSpec(
        kind="trial",
        target="birds",
        method="uot",
        objective="joint",
        hyperparameters=Hyperparameters(lr=0.1, source_weight=1.0),
        seed=0,
        key=key,
        training=TrainingSettings(),
        metric="top1",
        num_target_classes=3,
        num_source_classes=0,
    )
    return SimpleNamespace(spec=spec, spool_path=Path(f"{key}.jsonl"), is_waiting=False, num_reports=10)


def progress_of(told: list[int]) -> TrialProgress:
    return TrialProgress(lambda pieces, of, worth: told.append(pieces), {}, num_unknown=3)


def test_a_trial_that_started_while_its_cell_was_stopped_is_left_for_a_later_run(tmp_path: Path) -> None:
    """Its worker sees that the cell is stopped after the driver was told to start it, and writes nothing."""
    ends = {
        "silent": TrialState(""),
        "broken": TrialState("broken", "failed", failure="program error"),
        "given back": TrialState(""),
    }
    ledger, told = StandIn(ends), []
    budget = BudgetKeeper(BudgetSettings(), tmp_path, tmp_path / "cache")
    watcher = LedgerWatcher(ledger, StudyObserver(), progress_of(told), budget)  # type: ignore[arg-type]
    assert watcher.trial_ended(trial("silent")) == "program error", "nothing else explains its silence"
    assert ledger.failed == ["silent"]
    watcher = LedgerWatcher(ledger, StudyObserver(), progress_of(told), budget)  # type: ignore[arg-type]
    assert watcher.trial_ended(trial("broken")) == "program error"
    assert watcher.trial_ended(trial("given back")) is None
    assert ledger.failed == ["silent"], "no failure of its own is recorded"
    assert told == [1, 1, 2]
    ledger.finished["given back"] = TrialState("given back", "finished", 0.5)  # told by a process that was cut off
    left = watcher.still_missing([trial("silent"), trial("given back")])
    assert ([task.spec.key for task in left], told) == (["silent"], [1, 1, 2, 3])
    assert ledger.released == ["silent", "broken", "given back"], "no process is to read their spools any more"

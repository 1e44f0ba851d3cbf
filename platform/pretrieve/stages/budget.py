"""The budget of a study: it stops in good order, with enough left for the refits of the best configurations so far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pretrieve.artifacts.disk_space import disk_use
from pretrieve.errors import ResourceError
from pretrieve.execution.compute import TrialResources
from pretrieve.settings_model import SettingsModel
from pretrieve.tracking.trial_state import TrialState

HOUR_S = 3600.0
DISK_LOOK_INTERVAL_S = 30.0

Positive = Annotated[float, Field(gt=0)]


class BudgetSettings(SettingsModel):
    """What a study may cost over all its runs; None sets no limit.

    Near a limit no further trial starts, running trials keep their checkpoints, the best configuration of each cell so
    far is refitted, and the report is written. A run with a larger budget continues from there.

    Attributes:
      max_gpu_hours: of trials and refits; a trial that has half a GPU for one hour counts half an hour.
      max_wall_hours: of all stages.
      max_disk_gb: of the study's folder and the storage's caches together, in 10⁹ bytes.
    """

    max_gpu_hours: Positive | None = None
    max_wall_hours: Positive | None = None
    max_disk_gb: Positive | None = None

    def check_without_gpus(self) -> None:
        """Raise ResourceError where the budget counts GPU-hours, for a study whose trials have no GPUs."""
        if self.max_gpu_hours is not None:
            raise ResourceError(
                "budget.max_gpu_hours needs trials that have GPUs, but on this cluster they have none; give "
                "budget.max_wall_hours instead"
            )


@dataclass
class Refits:
    """The expected cost of the refits, from that of the trials.

    Attributes:
      num_missing: refits without a result.
      bytes_each: size of the weights that a refit writes.
      longer_by: images of a refit divided by those of a trial: above 1, as a refit trains on val as well; below 1 where
        a trial trains a network for each fold.
    """

    num_missing: int = 0
    longer_by: float = 1.0
    bytes_each: int = 0

    def seconds(self, finished: Mapping[str, TrialState]) -> float:
        """Estimate their trial-seconds; 0 while no trial has a result."""
        # A trial that was stopped or diverged is shorter than a refit.
        whole = [trial.seconds for trial in finished.values() if trial.outcome == "finished" and trial.seconds > 0]
        took = whole or [trial.seconds for trial in finished.values() if trial.seconds > 0]
        return self.num_missing * self.longer_by * sum(took) / len(took) if took else 0.0


@dataclass
class BudgetKeeper:
    """Adds up what a study costs, and says when its budget is used up.

    Attributes:
      cache: folder of the storage's caches.
      earlier_s: wall seconds of the study's earlier runs.
      run_s: wall seconds that this run may take; None sets no limit.
      refits: the refits to set aside for; none once the refits themselves run.
      gpus_per_trial: share of a GPU that a trial has.
      num_concurrent: trials at a time.
      reached: the limit that was reached first; None while none is.
    """

    budget: BudgetSettings
    folder: Path
    cache: Path
    earlier_s: float = 0.0
    run_s: float | None = None
    refits: Refits = field(default_factory=Refits)
    gpus_per_trial: float = 0.0
    num_concurrent: int = 1
    reached: str | None = None
    _began_s: float = field(default_factory=time.monotonic)
    _running: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)  # seconds so far of trials in a race
    _disk: tuple[float, int] | None = None

    def runs_on(self, resources: TrialResources) -> None:
        self.gpus_per_trial = resources.gpus * resources.num_workers
        self.num_concurrent = resources.num_concurrent

    def started(self, key: str) -> None:
        self._running.setdefault(key, time.monotonic())

    def ended(self, key: str, *, waits: bool = False) -> None:
        """Note that a process returned; what it took counts from now on by its result, or here if its trial waits."""
        started = self._running.pop(key, None)
        if waits and started is not None:
            self._waiting[key] = self._waiting.get(key, 0.0) + time.monotonic() - started

    def used_up(self, finished: Mapping[str, TrialState]) -> str | None:
        """Name the limit that is reached, counting what is set aside for the refits; None where none is.

        `finished` holds the trials and refits with a result, by key.
        """
        has_limit = self.run_s is not None or self.budget != BudgetSettings()
        found = self._limit_reached(finished) if has_limit else None
        self.reached = self.reached or found
        return found

    def _limit_reached(self, finished: Mapping[str, TrialState]) -> str | None:
        now, refits_s = time.monotonic(), self.refits.seconds(finished)
        trials_s = sum(trial.seconds for trial in finished.values()) + sum(now - s for s in self._running.values())
        trials_s += sum(seconds for key, seconds in self._waiting.items() if key not in finished)
        run_s, disk_bytes = now - self._began_s, self._disk_bytes()
        aside_s = refits_s / self.num_concurrent
        if self.run_s is not None and run_s + aside_s >= self.run_s:
            return f"this run may take {self.run_s / HOUR_S:.3g} hours, with {run_s / HOUR_S:.3g} used"
        costs = {  # used until now, and set aside for the refits
            "max_gpu_hours": (self.gpus_per_trial * trials_s / HOUR_S, self.gpus_per_trial * refits_s / HOUR_S),
            "max_wall_hours": ((self.earlier_s + run_s) / HOUR_S, aside_s / HOUR_S),
            "max_disk_gb": (disk_bytes / 1e9, self.refits.num_missing * self.refits.bytes_each / 1e9),
        }
        for name, (used, reserved) in costs.items():
            limit = getattr(self.budget, name)
            if limit is not None and used + reserved >= limit:
                aside = f" and {reserved:.3g} set aside for the refits" if reserved else ""
                return f"budget.{name} is {limit:g}, with {used:.3g} used{aside}"
        return None

    def _disk_bytes(self) -> int:
        if self.budget.max_disk_gb is None:
            return 0
        if self._disk is None or time.monotonic() - self._disk[0] > DISK_LOOK_INTERVAL_S:
            used = disk_use(self.folder) + disk_use(self.cache)
            self._disk = time.monotonic(), used
        return self._disk[1]

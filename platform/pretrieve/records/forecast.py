"""The forecast of a study as data: what is left to do, and what it will take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pretrieve.artifacts.atomic_files import read_json, write_json
from pretrieve.records.codec import from_json, to_json

FORECAST_FILE = "forecast.json"


@dataclass(frozen=True)
class StageForecast:
    """What a stage will take."""

    stage: str  # its name, as the run times it
    seconds: float | None  # wall time; None if it cannot be known beforehand
    work: str  # what is left to do, for people; empty if nothing is
    disk_bytes: int = 0  # written and kept


@dataclass(frozen=True)
class CellForecast:
    """What a cell will take: its trials and refits, how many of them have a result, and the seconds of one of each."""

    target: str
    method: str
    num_trials: int
    num_done: int
    num_refits: int
    num_refits_done: int
    image_passes: int  # images that all that is missing will train on or score
    trial_s: float
    refit_s: float

    @property
    def missing_s(self) -> float:
        """Seconds of all that is missing, one after the other."""
        trials_s = (self.num_trials - self.num_done) * self.trial_s
        return trials_s + (self.num_refits - self.num_refits_done) * self.refit_s


@dataclass(frozen=True)
class PowerForecast:
    """What the repeats of a study can show of a contrast, with a chance of 80 %.

    Attributes:
      contrast: `uot − random`, or `each contrast` where all have the same spread.
      basis: where the spread comes from, for people.
      num_repeats: that are planned.
      level: of the first test at so many repeats, after the corrections for several contrasts and looks.
      detectable: the least true difference that is called better or worse, in scores; None below three repeats.
      provable_margin: the least margin within which rows without a difference are called equivalent; None likewise.
      margin: that of the study.
      repeats_to_equivalence: that call rows without a difference equivalent within it; None if no number does.
      difference: a true difference that was asked for; None for none.
      repeats_to_detect: that call it better or worse; None if no number does, or none was asked for.
      trial_s_a_repeat: seconds of a repeat's trials and refits, one after the other.
      wall_s_a_repeat: the same, so many at a time as the cluster holds.
    """

    contrast: str
    basis: str
    num_repeats: int
    level: float
    detectable: float | None
    provable_margin: float | None
    margin: float
    repeats_to_equivalence: int | None
    difference: float | None
    repeats_to_detect: int | None
    trial_s_a_repeat: float
    wall_s_a_repeat: float


@dataclass(frozen=True)
class Forecast:
    """What is left of a study, and what it will take on the cluster that was measured.

    Attributes:
      num_concurrent: trials at a time.
      gpus_per_trial: share of a GPU of each.
      disk_bytes: what is written and kept, MLflow's own records included.
      peak_bytes: of memory, by all trials that share it: of a GPU where there are any, else of all machines.
      measured_s: what the calibration took.
      is_prepared: whether everything before the trials is in the cache; else it is not known which results count.
      may_stop: whether the search stops trials early, so that the trials' figures are upper bounds.
      notes: what a user should know of the forecast.
      stage_seconds_before: what the stages took until now, by name; a later look compares with it.
      used: how much of each limit of a budget the study used until now, by the limit's name and in its unit.
      power: what the repeats can show of each primary contrast; empty for a study without repeats or contrasts.
    """

    RECORD: ClassVar = "forecast"
    VERSION: ClassVar = 1

    study: str
    cells: tuple[CellForecast, ...]
    stages: tuple[StageForecast, ...]
    num_concurrent: int
    cpus_per_trial: int
    gpus_per_trial: float
    disk_bytes: int
    peak_bytes: int
    measured_s: float
    is_prepared: bool
    may_stop: bool
    notes: tuple[str, ...] = ()
    stage_seconds_before: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)
    power: tuple[PowerForecast, ...] = ()

    @property
    def wall_s(self) -> float:
        """Wall time of all stages whose time is known."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    @property
    def trial_hours(self) -> float:
        """Hours of all trials and refits that are missing, one after the other."""
        return sum(cell.missing_s for cell in self.cells) / 3600

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of the trials and refits that are missing."""
        return self.gpus_per_trial * self.trial_hours

    @property
    def num_missing(self) -> int:
        """Trials and refits without a result."""
        return sum(c.num_trials - c.num_done + c.num_refits - c.num_refits_done for c in self.cells)

    def took(self, stage_seconds: Mapping[str, float]) -> dict[str, float]:
        """Return what each stage took since the forecast, from what it took in all runs of the study, by name."""
        before = self.stage_seconds_before
        spent = {name: value - before.get(name, 0.0) for name, value in stage_seconds.items()}
        return {name.replace("_", " "): value for name, value in spent.items() if value > 0}

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, with its totals."""
        totals = {"wall_s": self.wall_s, "trial_hours": self.trial_hours, "gpu_hours": self.gpu_hours}
        return to_json(self) | totals

    def write(self, folder: Path) -> Path:
        """Write it into the study's folder, and return the file."""
        write_json(folder / FORECAST_FILE, self.to_json())
        return folder / FORECAST_FILE

    @classmethod
    def read(cls, folder: Path) -> Forecast | None:
        """Read what `write` wrote; None if there is no file.

        Raises:
          UserError: another version wrote it, or it was changed.
        """
        path = folder / FORECAST_FILE
        return from_json(cls, read_json(path), str(path)) if path.exists() else None

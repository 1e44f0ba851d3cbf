"""The Python interface of a study."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import load_study_file, validate_study

if TYPE_CHECKING:
    import pandas as pd

    from pretrieve.records import CellRecord, StudyRecord
    from pretrieve.records.forecast import Forecast
    from pretrieve.records.predictions import KeptPredictions


class Study:
    """One question: which methods, on which targets, with which backbone and grid.

    Args:
      **fields: as in a study file; see `StudySettings`.

    Raises:
      StudyFileError: lists every fault of the fields.

    Example:
      >>> backbone = {"name": "small_resnet", "pretrain": {"epochs": 8}}
      >>> Study(name="letters", source="characters", targets=["greek", "symbols"], backbone=backbone)
      Study('letters': greek, symbols × class_means, linear_probe, finetune, finetune_longer, random, uot)
    """

    def __init__(self, **fields: Any) -> None:
        self.settings: StudySettings = validate_study(fields, origin="the study", base=Path())

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        overrides: Sequence[str] = (),
        storage: str | Path | None = None,
        needs_files: bool = True,
    ) -> Study:
        """Read a study file; `overrides` are `field.path=value` words that replace what it says.

        Folders in the file are relative to its own folder. `storage`, where given, replaces that of the file. With
        `needs_files=False` its images and weights may be elsewhere, as to read its record needs none of them.

        Raises:
          StudyFileError: lists every fault.
          UserError: the file is missing or no YAML.
        """
        folder = None if storage is None else Path(storage)
        return cls.from_settings(
            load_study_file(Path(path), overrides=overrides, storage=folder, needs_files=needs_files)
        )

    @classmethod
    def from_settings(cls, settings: StudySettings) -> Study:
        """Make a study of settings that are validated already."""
        study = cls.__new__(cls)
        study.settings = settings
        return study

    def run(self, observer: StudyObserver | None = None) -> StudyRecord:
        """Run what is missing and return the record; progress is drawn on the terminal unless an observer is given.

        Connects to the cluster of RAY_ADDRESS, else starts one on this machine, only if something must be computed.

        Raises:
          UserError: the settings do not fit the data or the cluster.
          TrialsFailedError: some trials ended in an error; the rest is recorded.
        """
        return self._run(observer, runs_trials=True)

    def extend(
        self,
        until: Literal["decided"] | int = "decided",
        *,
        budget_s: float | None = None,
        observer: StudyObserver | None = None,
    ) -> StudyRecord:
        """Run the study and add repeats, until its contrasts are decided or it has a number of repeats.

        It is looked at after 5, 10, 20, 30, 60 and 100 repeats; each look has a part of the level. `budget_s` is the
        wall time that this call may take.

        Raises:
          UserError: the study compares no rows or is to be looked at once; or as for `run`.
          BudgetUsedUpError: the budget was used up first; another call goes on.
          TrialsFailedError: some trials ended in an error; the rest is recorded.
        """
        from pretrieve.study.extend import extend_study

        with self._watched_by(observer) as view:
            return extend_study(self.settings, view, until=until, budget_s=budget_s)

    def validate(self, observer: StudyObserver | None = None) -> None:
        """Check that the study's networks can be used, by passing two images forward and backward; the store keeps it.

        The settings were checked when the study was made. `plan` and `run` do the same first.

        Raises:
          BackboneError: a network cannot be used; the message has its name and the reason.
        """
        from pretrieve.stages.context import walking
        from pretrieve.stages.network_check import NetworkCheckStage

        with self._watched_by(observer) as view, walking(self.settings, view) as context:
            context.get(NetworkCheckStage)

    def plan(self, observer: StudyObserver | None = None, *, detect: float | None = None) -> Forecast:
        """Forecast the rest of the study on the cluster at hand: trials, wall time, GPU-hours, disk and memory.

        It runs only a calibration of a few steps. The forecast is also written into the study's folder, and a run logs
        it with the study. With repeats it also says what they can show (`Forecast.power`); `detect`, a true difference
        in points such as 0.8, asks how many repeats would find it and what they cost.

        Raises:
          UserError: the settings do not fit the data or the cluster.
        """
        from pretrieve.study.forecast_study import forecast_study

        with self._watched_by(observer) as view:
            return forecast_study(self.settings, view, detect=None if detect is None else detect / 100)

    def extract_features(self, observer: StudyObserver | None = None) -> None:
        """Extract the features that the study's selections need, and nothing else; a later run finds them.

        Raises:
          UserError: the settings do not fit the data or the cluster.
        """
        from pretrieve.study.walk import extract_features

        with self._watched_by(observer) as view:
            extract_features(self.settings, view)

    def make_selections(self, observer: StudyObserver | None = None) -> list[Path]:
        """Make the selections, and the features they need; return the record of each, a JSON file.

        Raises:
          UserError: the settings do not fit the data or the cluster.
        """
        from pretrieve.study.walk import make_selections

        with self._watched_by(observer) as view:
            return make_selections(self.settings, view)

    def refit(self, observer: StudyObserver | None = None) -> StudyRecord:
        """Refit the best configurations known so far, also of an unfinished search; report which trials are missing.

        The refits are scored on the test images, so their result should not guide a search that continues afterwards.

        Raises:
          UserError: the settings do not fit the data or the cluster.
          TrialsFailedError: some refits ended in an error; the rest is recorded.
        """
        return self._run(observer, runs_trials=False)

    def _run(self, observer: StudyObserver | None, *, runs_trials: bool) -> StudyRecord:
        from pretrieve.study.walk import run_study

        with self._watched_by(observer) as view:
            return run_study(self.settings, view, runs_trials=runs_trials)

    def _watched_by(self, observer: StudyObserver | None) -> AbstractContextManager[StudyObserver]:
        """Return a context that yields the observer, or a view on the terminal where there is none."""
        if observer is not None:
            return nullcontext(observer)
        from pretrieve.study.views import terminal_view

        return terminal_view(self.settings)

    def record(self, *, with_curves: bool = False, with_trials: bool = True) -> StudyRecord:
        """Read what the study has recorded in MLflow so far.

        `with_curves` adds the learning curves that a report draws; `with_trials=False` leaves out the trials, which are
        most of the data, and which a table of scores does not need.

        Raises:
          DashboardError: it was never run.
          UserError: another study of this name did, on the same server.
        """
        from pretrieve.tracking.ownership import refuse_record_of_another
        from pretrieve_dashboards import load_study

        address, name, views = self.settings.tracking(), self.settings.name, self.settings.views()
        found = load_study(address, name, with_curves=with_curves, with_trials=with_trials, views=views)
        refuse_record_of_another(address, name, self.settings.folder)
        return found

    def table(self) -> pd.DataFrame:
        """Return the table so far: rows are methods, columns are targets."""
        from pretrieve_dashboards import score_table

        return score_table(self.record(with_trials=False)).to_frame()

    def best(self, target: str) -> pd.DataFrame:
        """Return the best configuration of each method for a target so far, the best on validation first.

        Columns: `val_score`, `test_mean` with its interval (`test_ci95`, `test_low`, `test_high`), `num_refits`, the
        hyperparameters, and `run_id` of the cell.

        Raises:
          DashboardError: it was never run, or has no such target.
        """
        from pretrieve_dashboards import best_frame

        return best_frame(self.record(with_trials=False), target)

    def compare(self, method: str, baseline: str = "finetune") -> pd.DataFrame:
        """Return how much a method improves on another so far: one row for each target, and their average.

        Columns: `difference` of the test scores, paired by the seed of the refits, with its interval (`ci95`, `low`,
        `high`) and `num_seeds`.

        Raises:
          DashboardError: it was never run, or has no such method.
        """
        from pretrieve_dashboards import compare_frame

        return compare_frame(self.record(with_trials=False), method, baseline)

    def predictions(self, target: str, method: str) -> tuple[KeptPredictions, ...]:
        """Read the class scores on the test images of each refit of a cell that keeps them, in the order of its refits.

        They lie in the study's folder; the record's refits say where MLflow has them.

        Raises:
          DashboardError: the study was never run, or has no such target or method.
          DamagedArtifactError: a file is damaged; the next run makes it again.
        """
        from pretrieve.records.predictions import predictions_path, read_predictions

        refits = self._cell(self.record(with_trials=False), target, method).refits
        paths = [predictions_path(self.settings.folder, refit.key) for refit in refits]
        return tuple(read_predictions(path) for path in paths if path.exists())

    def register(self, target: str, method: str) -> str:
        """Register the first refit of a cell with MLflow; return its URI, for `mlflow.pyfunc.load_model`.

        A run registers the champion of each target; this is for any other cell.

        Raises:
          DashboardError: the study was never run, or has no such target or method.
          UserError: the cell has no refit yet, or its weights or predictions are gone.
        """
        from pretrieve.study.register_cell import register_cell

        record = self.record(with_trials=False)
        return register_cell(self.settings, record, self._cell(record, target, method))

    def _cell(self, record: StudyRecord, target: str, method: str) -> CellRecord:
        from pretrieve_dashboards.errors import DashboardError

        try:
            return record.cell(target, method)
        except KeyError:
            cells = ", ".join(f"{cell.target} · {cell.method}" for cell in record.cells)
            raise DashboardError(
                f"a cell must be one of the study's, {cells}, but {target} · {method} was asked for"
            ) from None

    def _repr_html_(self) -> str:
        """Show in a notebook what the study is, and its table once it has one."""
        from html import escape

        from pretrieve_dashboards import notebook_html
        from pretrieve_dashboards.errors import DashboardError

        try:
            return notebook_html(self.record())
        except DashboardError:  # never run, or its store does not answer; a notebook cell should show no error
            return f"<p>{escape(repr(self))} · no record yet</p>"

    def __repr__(self) -> str:
        targets = ", ".join(target.display_name for target in self.settings.targets)
        return f"Study({self.settings.name!r}: {targets} × {', '.join(self.settings.method_names)})"

"""The study as Python users meet it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrieve.study.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import load_study_file, validate_study

if TYPE_CHECKING:
    import pandas as pd

    from pretrieve.records import StudyRecord


class Study:
    """One question: which methods, on which targets, with which backbone and grid.

    Args:
      **fields: as in a study file; see `StudySettings`.

    Raises:
      StudyFileError: lists every fault of the fields.

    Example:
      >>> backbone = {"name": "small_resnet", "pretrain": {"epochs": 8}}
      >>> Study(name="letters", source="characters", targets=["greek", "symbols"], backbone=backbone)
      Study('letters': greek, symbols × finetune, random, greedy_ot, uot)
    """

    def __init__(self, **fields: Any) -> None:
        self.settings: StudySettings = validate_study(fields, origin="the study", base=Path())

    @classmethod
    def from_file(cls, path: str | Path, *, overrides: Sequence[str] = ()) -> Study:
        """Read a study file.

        Args:
          path: YAML; folders in it are relative to its own folder.
          overrides: `field.path=value` words that replace what the file says.

        Raises:
          StudyFileError: lists every fault.
          UserError: the file is missing or no YAML.
        """
        return cls.from_settings(load_study_file(Path(path), overrides=overrides))

    @classmethod
    def from_settings(cls, settings: StudySettings) -> Study:
        """Wrap settings that are validated already."""
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
        from pretrieve.study.walk import run_study

        if observer is not None:
            return run_study(self.settings, observer)
        from pretrieve.study.views import terminal_view

        with terminal_view(self.settings) as view:
            return run_study(self.settings, view)

    def record(self) -> StudyRecord:
        """Read what the study has left in MLflow so far.

        Raises:
          DashboardError: it was never run.
        """
        from pretrieve_dashboards import load_study

        return load_study(self.settings.tracking(), self.settings.name)

    def table(self) -> pd.DataFrame:
        """Return the table so far: rows methods, columns targets."""
        from pretrieve_dashboards import score_table

        return score_table(self.record()).to_frame()

    def __repr__(self) -> str:
        targets = ", ".join(target.display_name for target in self.settings.targets)
        return f"Study({self.settings.name!r}: {targets} × {', '.join(self.settings.methods)})"

"""What MLflow must be told of a trial when it begins, kept beside its spool until it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrieve.atomic_files import read_json, write_json
from pretrieve.training.trial_spec import TrialSpec

SUFFIX = ".begun.json"


@dataclass(frozen=True)
class BegunTrial:
    """A trial whose run is to be opened, and whose run is then known by its key.

    Attributes:
      spec: of the trial.
      parameters: its whole configuration, by the names of MLflow's parameters.
    """

    spec: TrialSpec
    parameters: Mapping[str, Any]

    def keep(self, folder: Path) -> None:
        """Write it to a folder: what a driver that is killed did not deliver, the next one must be able to."""
        write_json(
            folder / f"{self.spec.key}{SUFFIX}",
            {"spec": self.spec.model_dump(mode="json"), "parameters": dict(self.parameters)},
        )

    @staticmethod
    def forget(folder: Path, key: str) -> None:
        """Remove what was kept of a trial."""
        (folder / f"{key}{SUFFIX}").unlink(missing_ok=True)


def kept_trials(folder: Path) -> list[BegunTrial]:
    """Read what is kept in a folder, in the order of the keys."""
    fields = [read_json(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    return [BegunTrial(TrialSpec.model_validate(kept["spec"]), kept["parameters"]) for kept in fields]

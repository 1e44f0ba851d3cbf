"""A stand-in for the trial maker, whose tasks have keys and no images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pretrieve.execution.stored_rows import StoredRows
from pretrieve.execution.trial_task import TrialTask
from pretrieve.methods import find_method
from pretrieve.search.grid import GridSettings
from pretrieve.stages.trial_maker import Cell
from pretrieve.study.settings import StudySettings
from pretrieve.tracking.ledger import Ledger
from pretrieve.training.settings import Hyperparameters
from pretrieve.training.trial_spec import TrialSpec


@dataclass
class BareTrialMaker:
    """Stands for the trial maker of one target, whose tasks have keys and no images."""

    settings: StudySettings
    ledger: Ledger
    targets: tuple[str, ...] = ("tiny-a",)

    def cell(self, target: str, method: str, grid: GridSettings) -> Cell:
        return Cell(
            target, method, tuple(self.trial(target, method, point) for point in grid.points(find_method(method)))
        )

    def trial(self, target: str, method: str, point: Hyperparameters) -> TrialTask:
        key = f"{target}-{method}-{point.describe()}".replace(" ", "_").replace("/", "-")
        objective = find_method(method).trained_with
        return TrialTask(
            spec=TrialSpec(
                kind="trial",
                target=target,
                method=method,
                objective=objective,
                hyperparameters=point,
                seed=0,
                key=key,
                training=self.settings.training,
                metric="top1",
                num_target_classes=3,
                num_source_classes=0,
            ),
            architecture_name="small_resnet",
            weights_path=Path("none"),
            backbone_identity="",
            train=StoredRows(folders=()),
            evaluate=StoredRows(folders=()),
            source=(),
            spool_path=self.ledger.spool_path(key),
            checkpoint_path=self.settings.folder / "checkpoints" / f"{key}.pt",
            weights_out=None,
            predictions=None,
            num_threads=1,
            provenance={},
        )

"""A trial stopped before its last epoch: a result of its own, recorded by the driver that stopped it."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.tracking import schema
from pretrieve.tracking.spool import Spool
from pretrieve.training.checkpoint import CheckpointFile
from pretrieve.training.trial_spec import TrialTask


@dataclass(frozen=True)
class Stop:
    """Where a trial was stopped.

    Attributes:
      epoch: the last one it trained.
      num_epochs: those that it would have trained.
      score: its validation score there, in [0, 1].
      seconds: what it took.
    """

    epoch: int
    num_epochs: int
    score: float
    seconds: float

    def describe(self) -> str:
        """Say it in a line.

        >>> Stop(epoch=3, num_epochs=9, score=0.5, seconds=1.0).describe()
        'stopped after epoch 3 of 9 with a validation score of 50.0%: others of its cell were ahead'
        """
        return (
            f"stopped after epoch {self.epoch} of {self.num_epochs} with a validation score of "
            f"{100 * self.score:.1f}%: others of its cell were ahead"
        )


def record_stop(task: TrialTask, stop: Stop) -> None:
    """Write the end of a stopped trial and remove its checkpoint.

    The driver writes it: the trial waits within its report of the epoch for the decision, and its thread ends there.
    """
    metrics = {schema.STOPPED_EPOCH: float(stop.epoch), schema.SECONDS: stop.seconds}
    Spool(task.spool_path).write_end("stopped", metrics, stop.describe())
    CheckpointFile(task.checkpoint_path).remove()

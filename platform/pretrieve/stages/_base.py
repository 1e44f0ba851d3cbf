"""The contract of a stage: what it returns, whether that is in the store, how it is made, and what making it costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pretrieve.records.forecast import StageForecast

if TYPE_CHECKING:
    from pretrieve.stages.calibration import Calibration
    from pretrieve.stages.context import Context

Made = TypeVar("Made")


class Stage(ABC, Generic[Made]):
    """One step of a study.

    A stage asks the context for the results of earlier stages (`context.get(OtherStage)`). From these and from its own
    settings it computes the keys of its artifacts. A stage holds no state: a new one is made for each call.

    Attributes:
      name: as the user reads it.
      place: its position; stages run in rising order of it.
      is_on_demand: whether it runs only where a later stage asks for it.
      is_shared: whether all repeats of the study have the same result of it.
    """

    name: ClassVar[str]
    place: ClassVar[float]
    is_on_demand: ClassVar[bool] = False
    is_shared: ClassVar[bool] = False

    def applies(self, context: Context) -> bool:
        """Return whether the study has this stage."""
        return True

    @abstractmethod
    def load(self, context: Context) -> Made | None:
        """Return the stage's result where all of it is in the store; None where something is missing."""

    def make(self, context: Context) -> Made | None:
        """Make what is missing.

        Returns:
          The stage's result; None where `load` now finds it in the store.

        Raises:
          UserError: the settings do not fit the data or the cluster.
        """
        raise AssertionError(f"{self.name} is always there")

    def num_pieces(self, context: Context) -> int:
        """Count the pieces that a view shows; 0 where a result that is in the store is not to be shown."""
        return 0

    def artifacts(self, context: Context) -> Sequence[Path]:
        """List the files or folders that the stage makes in the store, whether they exist or not."""
        return ()

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Forecast the work for what is missing, given the speeds of the cluster; None where the forecast has no line.

        Results of earlier stages are used where they are in the store (`context.find`).
        """
        return None

"""The contract of a stage: what it gives, whether that is there, how it is made, and what making it would cost."""

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
    """One arrow of the walk.

    A stage asks the context for what it needs of the stages before it (`context.get(OtherStage)`), and computes the
    keys of its artifacts from that and from its own settings. Stages hold no state: a new one is made for each call.

    Attributes:
      name: as the user reads it.
      place: where it stands in the walk; stages are walked in rising order.
      is_on_demand: whether it is walked only where a later stage asks for it.
    """

    name: ClassVar[str]
    place: ClassVar[float]
    is_on_demand: ClassVar[bool] = False

    def applies(self, context: Context) -> bool:
        """Tell whether the study has this stage."""
        return True

    @abstractmethod
    def load(self, context: Context) -> Made | None:
        """Return what the stage gives where all of it is in the store; None where something is missing."""

    def make(self, context: Context) -> Made | None:
        """Make what is missing.

        Returns:
          What the stage gives; None where `load` now finds it in the store.

        Raises:
          UserError: the settings do not fit the data or the cluster.
        """
        raise AssertionError(f"{self.name} is always there")

    def num_pieces(self, context: Context) -> int:
        """Count the pieces that a view counts; 0 where nothing is to be shown of a stage that was found."""
        return 1

    def artifacts(self, context: Context) -> Sequence[Path]:
        """List the files, or the folders, that the stage makes in the store, whether they are there or not."""
        return ()

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Say what making what is missing would take; None where nothing is to be told.

        Args:
          context: knows the results of the stages before, as far as they are there (`context.find`).
          measured: of the cluster at hand.
        """
        return None

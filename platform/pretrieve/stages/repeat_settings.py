"""How often a study draws anew what a user would draw."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pretrieve.settings_model import SettingsModel


class RepeatSettings(SettingsModel):
    """The repeats of a study.

    Attributes:
      draws: number of repeats. Each draws the labelled images of a target with a `regime`, or the split of a target
        without a test split of its own, and the selection, the folds, the first weights and the order of batches. With
        several, the best configuration is trained once a repeat, and `refit.num_seeds` is not read.
      test: `official`, the test split of the target; or `undrawn`, all images of its train and test splits that the
        repeat did not draw, for sets with few test images.
    """

    draws: Annotated[int, Field(ge=1)] = 1
    test: Literal["official", "undrawn"] = "official"

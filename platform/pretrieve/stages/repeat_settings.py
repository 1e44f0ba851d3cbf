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
      looks: `many` where the study may be extended: each of its verdicts is a look, and has a part of the level. `one`
        where it never will be: its only verdict comes when all draws are there, and has the whole level. It is settled
        before the first trial.
      shared_seed: of what all repeats share: the images of the source, the pre-training, the clusters. None: that of
        the study. Studies that are to be merged have the same one, and seeds of their own.
    """

    draws: Annotated[int, Field(ge=1)] = 1
    test: Literal["official", "undrawn"] = "official"
    looks: Literal["many", "one"] = "many"
    shared_seed: Annotated[int, Field(ge=0)] | None = None

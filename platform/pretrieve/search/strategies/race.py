"""Racing: fold by fold, trials that are behind the best of their cell by a paired test over images drop out."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.special import stdtr

from pretrieve.search.strategies._base import SearchStrategy
from pretrieve.settings_model import SettingsModel


@dataclass(config=SettingsModel.model_config)
class RaceStrategy(SearchStrategy):
    """Begin every point; after each fold, trials that are behind by a paired test over images drop out.

    Each is compared with the best one by Student's one-sided t over the images that were held out so far (as in the
    races of Maron and Moore 1994, with the paired test of Moore and Lee 1994). Without folds it races nothing.

    Attributes:
      level: of each test, in (0, 0.5]. A trial that is as good as the best one drops out after a fold with at most
        about this chance; a larger level is cheaper.
    """

    name = "race"
    races = True

    level: Annotated[float, Field(gt=0, le=0.5)] = 0.1

    def behind(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        num_images = scores.shape[1]
        if num_images < 2:
            return np.zeros(len(scores), bool)
        differences = scores[np.argmax(scores.mean(axis=1))] - scores
        means = differences.mean(axis=1)
        errors = differences.std(axis=1, ddof=1) / np.sqrt(num_images)
        with np.errstate(divide="ignore", invalid="ignore"):  # trials may be right about the same images
            p_values = stdtr(num_images - 1, -means / errors)
        found: NDArray[np.bool_] = p_values < self.level  # of equal trials it is not a number, or a half
        return found

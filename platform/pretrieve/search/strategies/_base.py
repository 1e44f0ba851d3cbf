"""The contract of a search strategy: which trials of a cell it stops early, and which points it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pretrieve.search.search_space import SearchSpace

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler
    from ray.tune.search import Searcher

Point = Mapping[str, Any]
"""The value of each hyperparameter of a search space, by name."""


class SearchStrategy:
    """How the hyperparameters of a cell are searched. As it is, every point of the grid is trained to its end.

    The arguments of a strategy's constructor are its settings, the fields beside `strategy` in a study's `search`. A
    strategy is built whenever it is asked something, so it keeps nothing between two questions. Ray Tune and the
    libraries of models load slowly, so `scheduler` and `searcher` import them, not the file.

    Attributes:
      name: its word in studies.
      may_stop: it stops trials before their last epoch; then it has a `scheduler`.
      proposes: it proposes points one after the other, so that there is no list of all points; then it has a
        `searcher` and `num_trials`.
      races: it lets trials drop out after each fold, once all of the cell have finished it; then it has `behind`.
      num_trials: how many points it proposes in each cell, if it proposes; at least 1.
    """

    name: ClassVar[str]
    may_stop: ClassVar[bool] = False
    proposes: ClassVar[bool] = False
    races: ClassVar[bool] = False
    num_trials: int = 0

    def scheduler(self, num_epochs: int) -> TrialScheduler:
        """Make the scheduler of one cell, which stops the trials that are not worth going on; a new one at each call.

        It decides by the scores of the cell alone. Each result has `val/score`, in [0, 1] and better if larger, and the
        number of epochs done, as `epoch` and as `training_iteration`. Its decisions are CONTINUE and STOP; any other
        one counts as CONTINUE, and so does STOP at the last epoch. The controller that it is given has no trials. The
        scores of earlier runs are passed to `on_trial_complete`, or to `on_trial_result` if the scheduler has no
        `on_trial_complete` of its own.

        Args:
          num_epochs: of a trial that is not stopped, >= 1.
        """
        raise NotImplementedError(f"{self.name} has no scheduler")

    def searcher(
        self, space: SearchSpace, *, begun: Sequence[Point], scores: Sequence[tuple[Point, float]], seed: int
    ) -> Searcher:
        """Make the searcher of one cell, which suggests whole points of the space; a new one at each call.

        It is told only how trials end: `val/score`, in [0, 1] and better if larger, or an error for a trial without a
        score. A point that it suggests again is not trained again: it is told the score at once. It may suggest None
        while trials run that it waits for.

        Args:
          space: where the points lie; a point has a value for each name.
          begun: points of trials that earlier runs did not end; suggested first.
          scores: points of trials that earlier runs ended, with their last validation scores; 0 for one that diverged.
          seed: of the draws, in [0, 2³¹).
        """
        raise NotImplementedError(f"{self.name} has no searcher")

    def behind(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which trials of a cell drop out after a fold, (T,); never all of them.

        Args:
          scores: (T, N) finite; what each held-out image of the folds so far adds to the score of each trial that is
            left, so that the mean of a row is the trial's score: 1.0 or 0.0 under `top1`. Of equal trials the preferred
            one comes first.
        """
        raise NotImplementedError(f"{self.name} does not race")

    def faults_beside(self, num_epochs: int) -> list[str]:
        """List the conflicts of its settings with the epochs of a trial, each as "setting: rule, value, remedy"."""
        return []

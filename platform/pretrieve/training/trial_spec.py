"""What a trial computes, as data; `execution.trial_task` says where its inputs are and how it runs."""

from __future__ import annotations

from typing import Literal

from pretrieve.settings_model import SettingsModel
from pretrieve.training.settings import Hyperparameters, TrainingSettings

SourceHead = Literal["fresh", "classifier"]

PROTOCOL_VERSION = 2
"""Part of every trial's key. Raise it when a change of the code changes results."""


class TrialSpec(SettingsModel):
    """One configuration trained once.

    Attributes:
      kind: `trial` trains on train and scores val; `refit` trains on train + val and scores test.
      key: hash of everything that decides the result, the images and the backbone included.
      seed: decides first weights of the heads, order, crops, flips and blends.
      training: the settings that all trials of a study share.
      metric: the word of the metric that gives its score.
      further_metrics: words of metrics that are kept beside the score.
      num_target_classes: K of the target.
      num_source_classes: K of the source's head (for Co-Tuning: of the pre-training); 0 for an objective without one.
      source_head: whether the source head is a fresh one, or starts as the classifier of the pre-training.
      num_parts: parts of a step's batch that pass through the network one after the other.
    """

    kind: Literal["trial", "refit"]
    target: str
    method: str
    key: str
    objective: str
    hyperparameters: Hyperparameters
    seed: int
    training: TrainingSettings
    metric: str
    further_metrics: tuple[str, ...] = ()
    num_target_classes: int
    num_source_classes: int
    source_head: SourceHead = "fresh"
    num_parts: int = 1

    def describe(self) -> str:
        """Return a name of the trial for people."""
        name = self.hyperparameters.describe()
        return f"refit, seed {self.seed}: {name}" if self.kind == "refit" else name

"""The class scores of a refit on its test images: described for their file, and computed again from its weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pretrieve.backbones.memory_format import use_fastest_format
from pretrieve.backbones.state_dicts import StateDict, read_kept_weights
from pretrieve.components import OBJECTIVES
from pretrieve.data.metric_words import find_metrics
from pretrieve.data.scored_images import read_scored_images
from pretrieve.errors import ImageSetError
from pretrieve.execution.made_with import made_with
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records.predictions import KeptPredictions
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import LabelledImages
from pretrieve.training.network import prediction_network
from pretrieve.training.trial_spec import TrialSpec


def describe_predictions(task: TrialTask, logits: Tensor, labels: Tensor) -> KeptPredictions:
    """Name the image of each row of a refit's outputs.

    Args:
      task: of a refit.
      logits: (N, K) float32, of its test images, computed in this process.
      labels: (N,) int64, of the same images.

    Raises:
      ImageSetError: the labels are not those of the images on record.
      DamagedArtifactError: the record of the images is damaged.
    """
    files, spec = task.predictions, task.spec
    assert files is not None, "the plan gives every refit a file for its predictions"
    images = read_scored_images(files.images)
    if labels.tolist() != list(images.labels):
        raise ImageSetError(
            f"the {len(labels)} images that a refit scores must be the {len(images.labels)} that are listed in "
            f"{files.images}, but their number or a label differs; remove that file, and run the study again"
        )
    return KeptPredictions(
        key=spec.key,
        target=spec.target,
        method=spec.method,
        seed=spec.seed,
        class_names=images.class_names,
        made_with=made_with(),
        images=np.array(images.identities, dtype=np.str_),
        labels=labels.numpy().astype(np.int32),
        scores=logits.numpy(),
    )


def predict_again(task: TrialTask) -> KeptPredictions:
    """Compute the predictions of a refit from its kept weights, without training.

    On a CPU of the same kind, with as many threads, they are those of the training to the bit. Raises what reading the
    weights, the images or the features raises.
    """
    torch.set_num_threads(task.num_threads)
    assert task.weights_out is not None, "the plan gives every refit a file for its weights"
    state = read_kept_weights(task.weights_out)
    if OBJECTIVES.find(task.spec.objective).is_fitted:
        assert task.features is not None, "the plan gives features to every trial that is fitted to them"
        features, labels = task.features.to_score()
        logits = features @ state["target_head.weight"].T + state["target_head.bias"]
        return describe_predictions(task, logits, labels)
    images = task.evaluate.images()
    return describe_predictions(task, _logits(task, state, images), images.labels)


def _logits(task: TrialTask, state: StateDict, images: LabelledImages) -> Tensor:
    architecture = task.backbone.architecture
    network = prediction_network(
        architecture.build(),
        state,
        feature_dim=architecture.feature_dim,
        num_classes=task.spec.num_target_classes,
        origin=str(task.weights_out),
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # As training leaves it: in another order of memory the last bits differ.
    use_fastest_format(network.to(device).backbone, architecture.preprocessing.image_size)
    return predict_logits(network, images, architecture.preprocessing, device)


def score_of(spec: TrialSpec, predictions: KeptPredictions) -> float:
    """Return the score that a refit's predictions give, in [0, 1]."""
    (metric,) = find_metrics([spec.metric])
    return metric.compute(predictions.scores.astype(np.float64), predictions.labels.astype(np.int64))

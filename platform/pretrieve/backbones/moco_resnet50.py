"""MoCo-v2's ResNet50 from its published checkpoint (Chen et al. 2020; section 4.1).

The features of the selection are the 128 outputs of the MLP head; fine-tuning drops the head.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from pretrieve.backbones._base import Architecture, Projector, register_architecture
from pretrieve.backbones.parts import BackboneParts, cut_classifier, take_prefix, without_data_parallel
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.backbones.torchvision_models import IMAGENET, torchvision_model

FEATURE_DIM, PROJECTED_DIM = 2048, 128

QUERY_ENCODER = "encoder_q."
ONLY_FOR_PRETRAINING = ("encoder_k.", "queue")
"""The key encoder is a moving average of the query encoder; the queue holds its past features."""


def _mlp_head() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURE_DIM, FEATURE_DIM), nn.ReLU(), nn.Linear(FEATURE_DIM, PROJECTED_DIM))


def split_moco(state: StateDict) -> BackboneParts:
    """Split MoCo's checkpoint into trunk and projector.

    `state` holds `module.encoder_q.*`, with the MLP head as its `fc`, and entries that only the pre-training needs; or
    the query encoder alone, without prefixes.
    """
    query, others = take_prefix(without_data_parallel(state), QUERY_ENCODER)
    left_over = {name: value for name, value in others.items() if not name.startswith(ONLY_FOR_PRETRAINING)}
    projector, trunk = take_prefix(query | left_over, "fc.")
    return BackboneParts(trunk, projector)


register_architecture(
    Architecture(
        name="moco_resnet50",
        feature_dim=FEATURE_DIM,
        preprocessing=IMAGENET,
        build=partial(cut_classifier, partial(torchvision_model, "resnet50"), "fc"),
        projector=Projector(PROJECTED_DIM, _mlp_head),
        split=split_moco,
    )
)

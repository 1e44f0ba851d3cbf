"""A backbone with a classification head for the target and, if an objective needs it, one for the source."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from pretrieve.errors import BackboneError

HEAD_STD = math.sqrt(2 / 2048)
"""Heads start at N(0, 2/2048) with zero bias, as in the authors' script, whatever the feature's length."""


class TwoHeadNetwork(nn.Module):
    """The network that is fine-tuned (section 3.3).

    Args:
      backbone: (N, 3, S, S) → (N, D).
      feature_dim: D.
      num_target_classes: outputs of the target head.
      num_source_classes: outputs of the source head, all classes of the source; 0 leaves that head out.
      generator: draws the first weights of fresh heads.
      source_classifier: D → num_source_classes, the classifier that the backbone was pre-trained with. The source head
        starts as its copy and learns at the backbone's rate. None: the source head is fresh and learns at the heads'
        rate. Raises BackboneError if it does not fit the features or the source's classes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        feature_dim: int,
        num_target_classes: int,
        num_source_classes: int,
        generator: torch.Generator,
        source_classifier: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.target_head = _new_head(feature_dim, num_target_classes, generator)
        if source_classifier is not None:
            self.source_head: nn.Linear | None = _copied_head(source_classifier, feature_dim, num_source_classes)
        else:
            self.source_head = _new_head(feature_dim, num_source_classes, generator) if num_source_classes else None
        self._source_head_is_pretrained = source_classifier is not None

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) images to (N, K_target) logits."""
        logits: Tensor = self.target_head(self.backbone(images))
        return logits

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Return what learns at the backbone's rate: its parameters and those of a pre-trained source head."""
        parameters = list(self.backbone.parameters())
        if self._source_head_is_pretrained and self.source_head is not None:
            parameters += self.source_head.parameters()
        return parameters

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the fresh heads, which may learn at another rate than the backbone."""
        heads = [self.target_head]
        if self.source_head is not None and not self._source_head_is_pretrained:
            heads.append(self.source_head)
        return [parameter for head in heads for parameter in head.parameters()]


def _new_head(feature_dim: int, num_classes: int, generator: torch.Generator) -> nn.Linear:
    head: nn.Linear = nn.utils.skip_init(nn.Linear, feature_dim, num_classes)
    nn.init.normal_(head.weight, std=HEAD_STD, generator=generator)
    nn.init.zeros_(head.bias)
    return head


def _copied_head(classifier: nn.Linear, feature_dim: int, num_classes: int) -> nn.Linear:
    expected, found = (num_classes, feature_dim), tuple(classifier.weight.shape)
    if found != expected:
        raise BackboneError(
            f"the pre-trained classifier's weight must have shape (source classes, features) = {expected}, but has "
            f"{found}; give the classifier that the backbone was pre-trained with, or the source it was pre-trained on"
        )
    return copy.deepcopy(classifier).requires_grad_(True)

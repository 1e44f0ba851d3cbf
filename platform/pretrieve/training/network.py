"""A backbone with a classification head for the target and, for joint training, one for the source (section 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HEAD_STD = math.sqrt(2 / 2048)
"""Heads start at N(0, 2/2048) with zero bias, as the authors' script has it whatever the feature's length."""


class TwoHeadNetwork(nn.Module):
    """The network that is fine-tuned.

    Args:
      backbone: (N, 3, S, S) → (N, D).
      feature_dim: D.
      num_target_classes: outputs of the target head.
      num_source_classes: outputs of the source head, all classes of the source; 0 leaves that head out.
      generator: source of the heads' first weights.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        feature_dim: int,
        num_target_classes: int,
        num_source_classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.target_head = _new_head(feature_dim, num_target_classes, generator)
        self.source_head = _new_head(feature_dim, num_source_classes, generator) if num_source_classes else None

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) images to (N, K_target) logits."""
        logits: Tensor = self.target_head(self.backbone(images))
        return logits

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the heads, which may learn at another rate than the backbone."""
        heads = [self.target_head] if self.source_head is None else [self.target_head, self.source_head]
        return [parameter for head in heads for parameter in head.parameters()]


def _new_head(feature_dim: int, num_classes: int, generator: torch.Generator) -> nn.Linear:
    head: nn.Linear = nn.utils.skip_init(nn.Linear, feature_dim, num_classes)
    nn.init.normal_(head.weight, std=HEAD_STD, generator=generator)
    nn.init.zeros_(head.bias)
    return head

"""A backbone with a classification head for the target and, if an objective needs it, one for the source."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pretrieve.backbones.state_dicts import load_weights
from pretrieve.errors import BackboneError, ComponentError
from pretrieve.training.head_starts import HeadProblem, HeadStart
from pretrieve.training.head_starts._base import Examples, no_examples
from pretrieve.training.head_starts.gaussian import Gaussian


class TwoHeadNetwork(nn.Module):
    """The network that is fine-tuned (section 3.3).

    Args:
      backbone: (N, 3, S, S) → (N, D).
      feature_dim: D.
      num_target_classes: outputs of the target head.
      num_source_classes: outputs of the source head, all classes of the source; 0 leaves that head out.
      generator: draws the first weights of fresh heads, as `Gaussian` does; None: they are 0 until `start_heads`.
      source_classifier: D → num_source_classes, the classifier that the backbone was pre-trained with. The source head
        starts as its copy and learns at the backbone's rate. None: the source head is fresh and learns at the heads'
        rate. Raises BackboneError if it does not fit the features or the source's classes.

    Attributes:
      source_statistics: a second set of batch-norm statistics, for the source's images, by the names of the backbone's
        buffers; a training fills it, see `training.batch_norm`. No part of the state dict: prediction does not use it.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        feature_dim: int,
        num_target_classes: int,
        num_source_classes: int,
        generator: torch.Generator | None = None,
        source_classifier: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.target_head = _zero_head(feature_dim, num_target_classes)
        if source_classifier is not None:
            self.source_head: nn.Linear | None = _copied_head(source_classifier, feature_dim, num_source_classes)
        else:
            self.source_head = _zero_head(feature_dim, num_source_classes) if num_source_classes else None
        self._source_head_is_pretrained = source_classifier is not None
        self.source_statistics: dict[str, Tensor] = {}
        self.keep_fixed_parts()
        if generator is not None:
            self.start_heads(Gaussian(), generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) images to (N, K_target) logits."""
        logits: Tensor = self.target_head(self.backbone(images))
        return logits

    def keep_fixed_parts(self) -> None:
        """Note which modules of the backbone are fixed now; `set_learning_mode` leaves these in evaluation mode."""
        self._fixed = _fixed_modules(self.backbone)

    def set_learning_mode(self) -> None:
        """Set the network to training mode, but not what of the backbone is fixed.

        Fixed is what its builder froze and set to evaluation mode: its batch norms keep their statistics.
        """
        self.train()
        for module in self._fixed:
            module.training = False

    def start_heads(
        self,
        head_start: HeadStart,
        generator: torch.Generator,
        *,
        target_examples: Examples = no_examples,
        source_examples: Examples = no_examples,
    ) -> None:
        """Give the fresh heads their first weights: the target's head, then the source's unless it is pre-trained.

        The examples are those of each head's training images, see `HeadProblem`.

        Raises:
          ComponentError: the head start returns weights of another shape, or weights that are not finite.
        """
        heads = [(self.target_head, target_examples)]
        if self.source_head is not None and not self._source_head_is_pretrained:
            heads.append((self.source_head, source_examples))
        for head, examples in heads:
            problem = HeadProblem(head.in_features, head.out_features, generator, examples)
            weight, bias = head_start.start(problem)
            found, expected = (tuple(weight.shape), tuple(bias.shape)), (tuple(head.weight.shape), (head.out_features,))
            if found != expected or not (weight.isfinite().all() and bias.isfinite().all()):
                raise ComponentError(
                    f"a head start must return finite weight and bias of the shapes {expected}, but "
                    f"{type(head_start).__name__} returned the shapes {found} or values that are not finite; mend it"
                )
            with torch.no_grad():
                head.weight.copy_(weight)
                head.bias.copy_(bias)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Return what learns at the backbone's rate: its parameters that learn, and a pre-trained source head's."""
        parameters = [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]
        if self._source_head_is_pretrained and self.source_head is not None:
            parameters += self.source_head.parameters()
        return parameters

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the fresh heads, which may learn at another rate than the backbone."""
        heads = [self.target_head]
        if self.source_head is not None and not self._source_head_is_pretrained:
            heads.append(self.source_head)
        return [parameter for head in heads for parameter in head.parameters()]


def prediction_network(
    backbone: nn.Module, state: Mapping[str, Tensor], *, feature_dim: int, num_classes: int, origin: str
) -> TwoHeadNetwork:
    """Build a network that predicts with the weights of a fine-tuned one, of which a source head is left out.

    Args:
      backbone: (N, 3, S, S) → (N, D), with any weights.
      state: the state dict of a `TwoHeadNetwork`.
      feature_dim: D.
      num_classes: K of the target.
      origin: where the weights come from, for messages.

    Raises:
      BackboneError: a weight is missing, left over, of another shape or not finite.
    """
    network = TwoHeadNetwork(
        backbone, feature_dim=feature_dim, num_target_classes=num_classes, num_source_classes=0
    ).eval()
    kept = {name: value for name, value in state.items() if not name.startswith("source_head.")}
    load_weights(network, kept, origin=origin)
    return network


def _fixed_modules(backbone: nn.Module) -> list[nn.Module]:
    """List the modules in evaluation mode that belong to a part whose weights are all frozen.

    A part without weights, such as a dropout, counts by itself only in a backbone that is in training mode: one that
    comes in evaluation mode as a whole may be there to learn all the same.
    """
    fixed: dict[nn.Module, None] = {}
    for part in backbone.modules():
        weights = list(part.parameters())
        is_meant = bool(weights) or backbone.training
        if is_meant and not part.training and not any(each.requires_grad for each in weights):
            fixed |= {module: None for module in part.modules() if not module.training}
    return list(fixed)


def _zero_head(feature_dim: int, num_classes: int) -> nn.Linear:
    head: nn.Linear = nn.utils.skip_init(nn.Linear, feature_dim, num_classes)
    nn.init.zeros_(head.weight)
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

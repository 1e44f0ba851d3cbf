"""An objective with a hyperparameter of its own."""

import torch
import torch.nn.functional as F

from pretrieve.components.hyperparameters import SOURCE_WEIGHT, Hyperparameter
from pretrieve.training.objectives import Objective, StepLoss

TEMPERATURE = Hyperparameter("temperature", "of the source's logits", "T", scale="log", grid=(1.0, 2.0), default=1.0)


class WarmJoint(Objective):
    """Target cross-entropy + λ · source cross-entropy with a temperature: a warm source is learned less sharply."""

    name = "warm_joint"
    hyperparameters = (SOURCE_WEIGHT, TEMPERATURE)
    uses_source = True
    uses_source_head = True

    def __init__(self, weight, temperature):
        self.weight, self.temperature = weight, temperature

    @classmethod
    def build(cls, hyperparameters, relationship):
        return cls(hyperparameters.read(SOURCE_WEIGHT), hyperparameters.read(TEMPERATURE))

    def loss(self, network, target, source):
        features = network.backbone(torch.cat([target.images, source.images]))
        of_target, of_source = features.split([len(target.labels), len(source.labels)])
        target_loss = F.cross_entropy(network.target_head(of_target).float(), target.labels)
        source_loss = self._of_source(network, of_source, source)
        return StepLoss(target_loss + self.weight * source_loss, target_loss.detach(), source_loss.detach())

    def source_loss(self, network, source):
        return self._of_source(network, network.backbone(source.images), source)

    def _of_source(self, network, features, source):
        return F.cross_entropy(network.source_head(features).float() / self.temperature, source.labels)

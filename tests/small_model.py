"""A model as studies register it, of a small network, made in seconds without a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from smaller_sets import coloured_set
from torch import Tensor

from pretrieve.backbones import Preprocessing, find_architecture
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.data.decode import decode_square
from pretrieve.tracking.model_files import export_network, save_model
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.network import TwoHeadNetwork

CLASS_NAMES = ('red, "hot"', "鳥", "third class")


@dataclass(frozen=True)
class SmallModel:
    """The model's folder, the network that it was made from, and test images (PNG) with their labels."""

    folder: Path
    network: TwoHeadNetwork
    preprocessing: Preprocessing
    images: list[bytes]
    labels: list[int]

    @torch.inference_mode()
    def class_scores(self, images: list[bytes]) -> Tensor:
        """Compute (N, 3) class scores as a study does, without the model."""
        return self.network(_views(images, self.preprocessing))


def make_model(folder: Path, *, temperature: float | None = 2.0) -> SmallModel:
    """Fit a head to what a network of random weights makes of coloured images, and write its model."""
    architecture = find_architecture("small_resnet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TwoHeadNetwork(
            architecture.build(), feature_dim=architecture.feature_dim, num_target_classes=3, num_source_classes=0
        ).eval()
    splits = coloured_set("colours", 3, per_class=10, num_test=7, seed=1).splits
    with torch.inference_mode():
        features = network.backbone(_views(splits["train"]["content"].to_pylist(), architecture.preprocessing)).numpy()
    fitted = LogisticRegression(C=100, max_iter=2000).fit(features, splits["train"]["label"].to_numpy())
    network.target_head.load_state_dict(
        {"weight": torch.tensor(fitted.coef_).float(), "bias": torch.tensor(fitted.intercept_).float()}
    )
    weights = folder / "weights.pt"
    write_weights(network.state_dict(), weights)
    program = export_network(architecture, weights, num_classes=3)
    save_model(folder / "model", program, architecture=architecture, class_names=CLASS_NAMES, temperature=temperature)
    test = splits["test"]
    return SmallModel(
        folder / "model", network, architecture.preprocessing, test["content"].to_pylist(), test["label"].to_pylist()
    )


def _views(images: list[bytes], preprocessing: Preprocessing) -> Tensor:
    squares = np.stack([decode_square(content, preprocessing.resize_size) for content in images])
    return evaluation_view(to_unit_range(torch.from_numpy(squares), torch.device("cpu")), preprocessing)

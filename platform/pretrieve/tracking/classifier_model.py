"""The fine-tuned classifier as an MLflow model: image bytes in, class names out.

MLflow keeps this file beside the weights and runs it when it loads the model ("models from code"), so that nothing is
unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from pretrieve.artifacts.atomic_files import read_json
from pretrieve.backbones import Preprocessing, find_architecture
from pretrieve.backbones.state_dicts import read_kept_weights
from pretrieve.data.decode import decode_square
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.network import prediction_network

BATCH_SIZE = 128


class ImageClassifier(PythonModel):
    """Predicts the class of encoded images.

    Input: a DataFrame with a column `image` of encoded image bytes (PNG, JPEG, …).
    Output: a DataFrame with `class_name` (str), `probability` (float64 in [0, 1]) and `class_index` (int64).
    """

    def load_context(self, context: PythonModelContext) -> None:
        card = read_json(Path(context.artifacts["card"]))
        architecture = find_architecture(card["architecture"])
        self._class_names: list[str] = card["class_names"]
        self._preprocessing = Preprocessing.from_dict(card["preprocessing"])
        weights = context.artifacts["weights"]
        self._network = prediction_network(
            architecture.build(),
            read_kept_weights(Path(weights)),
            feature_dim=architecture.feature_dim,
            num_classes=len(self._class_names),
            origin=weights,
        )

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict a class for each row.

        Raises:
          ImageSetError: an image does not decode.
        """
        contents = model_input["image"].tolist()
        parts = [self._probabilities(contents[i : i + BATCH_SIZE]) for i in range(0, len(contents), BATCH_SIZE)]
        best = torch.cat([torch.zeros((0, len(self._class_names))), *parts]).max(1)
        indices = best.indices.tolist()
        names = [self._class_names[index] for index in indices]
        return pd.DataFrame({"class_name": names, "probability": best.values.double().numpy(), "class_index": indices})

    @torch.inference_mode()
    def _probabilities(self, contents: list[bytes]) -> torch.Tensor:
        size = self._preprocessing.resize_size
        images = torch.stack([torch.from_numpy(decode_square(content, size).copy()) for content in contents])
        view = evaluation_view(to_unit_range(images, torch.device("cpu")), self._preprocessing)
        probabilities: torch.Tensor = self._network(view).softmax(1)
        return probabilities


mlflow.models.set_model(ImageClassifier())

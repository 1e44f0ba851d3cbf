"""The fine-tuned classifier as an MLflow model: image bytes in, class names out.

MLflow keeps this file beside the weights and runs it when it loads the model ("models from code"), so that nothing is
unpickled.
"""

from __future__ import annotations

import math
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
from pretrieve.errors import BackboneError, ImageSetError, in_words
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.network import prediction_network

BATCH_SIZE = 128
MAX_NAMED = 5
"""Rows without an image that a message names."""


class ImageClassifier(PythonModel):
    """Predicts the class of encoded images.

    Input: a DataFrame with a column `image` of encoded image bytes (PNG, JPEG, …).
    Output: a DataFrame with `class_name` (str), `probability` (float64 in [0, 1]) and `class_index` (int64), and the
    index of the input.
    """

    def load_context(self, context: PythonModelContext) -> None:
        card = read_json(Path(context.artifacts["card"]))
        architecture = find_architecture(card["architecture"])
        self._class_names: list[str] = card["class_names"]
        self._preprocessing = Preprocessing.from_dict(card["preprocessing"])
        weights = context.artifacts["weights"]
        if not Path(weights).is_file():
            raise BackboneError(
                f"the weights of a registered model must lie beside its card, but {weights} is gone; run its study "
                "again, which registers them anew"
            )
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
        """Predict a class for each row; the result has the index of the input.

        With `params={"broken_images": "skip"}` a row whose image does not decode has no class name, the probability
        NaN, the index -1, and the reason in a further column `error`.

        Raises:
          ImageSetError: an image does not decode, and they are not to be skipped; the message names the first rows.
        """
        on_broken = (params or {}).get("broken_images", "raise")
        if on_broken not in ("raise", "skip"):
            raise ImageSetError(f"broken_images must be 'raise' or 'skip', but is {on_broken!r}")
        contents = model_input["image"].tolist()
        parts = [self._rows(contents[i : i + BATCH_SIZE]) for i in range(0, len(contents), BATCH_SIZE)]
        rows = [row for part in parts for row in part]
        broken = [(place, row[3]) for place, row in enumerate(rows) if row[3]]
        if broken and on_broken == "raise":
            named = "; ".join(f"row {model_input.index[place]!r}: {reason}" for place, reason in broken[:MAX_NAMED])
            raise ImageSetError(
                f"each row must hold the bytes of an image, but {len(broken)} of {len(rows)} do not: {named}; leave "
                "them out, or predict the others with params={'broken_images': 'skip'}"
            )
        frame = pd.DataFrame(rows, model_input.index, ["class_name", "probability", "class_index", "error"])
        frame = frame.astype({"class_name": object, "probability": "float64", "class_index": "int64", "error": object})
        return frame if on_broken == "skip" else frame.drop(columns="error")

    def _rows(self, contents: list[Any]) -> list[tuple[str | None, float, int, str]]:
        """Return class name, probability, class index and, for what is no image, the reason."""
        decoded = [self._decoded(content) for content in contents]
        images = [image for image in decoded if not isinstance(image, str)]
        best = self._probabilities(images).max(1)
        found = iter(zip(best.indices.tolist(), best.values.double().tolist(), strict=True))
        rows: list[tuple[str | None, float, int, str]] = []
        for image in decoded:
            if isinstance(image, str):
                rows.append((None, math.nan, -1, image))
            else:
                index, probability = next(found)
                rows.append((self._class_names[index], probability, index, ""))
        return rows

    def _decoded(self, content: Any) -> torch.Tensor | str:
        """Return the pixels of an image, or why it is none."""
        if not isinstance(content, bytes | bytearray | memoryview):
            return f"it is of type {type(content).__name__}, not bytes"
        try:
            return torch.from_numpy(decode_square(bytes(content), self._preprocessing.resize_size).copy())
        except Exception as error:  # of whichever library reads its format
            return in_words(error)

    @torch.inference_mode()
    def _probabilities(self, images: list[torch.Tensor]) -> torch.Tensor:
        if not images:
            return torch.zeros((0, len(self._class_names)))
        view = evaluation_view(to_unit_range(torch.stack(images), torch.device("cpu")), self._preprocessing)
        probabilities: torch.Tensor = self._network(view).softmax(1)
        return probabilities


mlflow.models.set_model(ImageClassifier())

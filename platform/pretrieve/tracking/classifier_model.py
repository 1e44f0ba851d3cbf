"""The fine-tuned classifier as an MLflow model: image bytes in, class names out.

MLflow keeps this file with the model and runs it when it loads the model ("models from code"). It must work where
Pretrieve is not installed, so what it imports of Pretrieve is kept with it, see `tracking.model_files`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from pretrieve.data.decode import decode_square
from pretrieve.errors import BackboneError, ImageSetError, UserError, in_words

BATCH_SIZE = 128
MAX_NAMED = 5
"""Rows without an image that a message names."""

PARAMETERS: Mapping[str, Any] = {"broken_images": "raise", "abstain_below": 0.0, "class_scores": False}
"""What `params` may hold, with the defaults."""

UNDECIDED = -1
"""The class index of a row without a class."""


class ImageClassifier(PythonModel):
    """Predicts the class of encoded images.

    Input: a DataFrame with a column `image` of encoded image bytes (PNG, JPEG, …).
    Output: a DataFrame with `class_name` (str), `probability` (float64 in [0, 1]) and `class_index` (int64), and the
    index of the input. The probability is calibrated where the model has a temperature.
    """

    def load_context(self, context: PythonModelContext) -> None:
        card = json.loads(Path(context.artifacts["card"]).read_text(encoding="utf-8"))
        self._class_names: list[str] = card["class_names"]
        self._size: int = card["preprocessing"]["resize_size"]
        self._temperature: float | None = card["temperature"]
        network = Path(context.artifacts["network"])
        if not network.is_file():
            raise BackboneError(
                f"the network of a registered model must lie beside its card, but {network} is gone; run its study "
                "again, which registers it anew"
            )
        self._network = torch.export.load(network).module()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict a class for each row; the result has the index of the input.

        Args:
          context: of MLflow.
          model_input: with a column `image`.
          params: with `broken_images: "skip"` a row whose image does not decode has no class name, the probability
            NaN, the index -1, and the reason in a further column `error`. With `abstain_below: 0.9` a row of a lower
            probability has no class name and the index -1. With `class_scores: True` a further column `class_scores`
            has the K outputs of the network before the softmax, as a list; None where the image does not decode.

        Raises:
          ImageSetError: an image does not decode, and they are not to be skipped; the message names the first rows.
          UserError: the model is to abstain, but has no temperature; or a parameter has a wrong value.
        """
        chosen = {**PARAMETERS, **(params or {})}
        self._check(chosen)
        contents = model_input["image"].tolist()
        parts = (self._rows(contents[i : i + BATCH_SIZE], chosen) for i in range(0, len(contents), BATCH_SIZE))
        rows = [row for part in parts for row in part]
        types = {"class_name": object, "probability": "float64", "class_index": "int64"}
        types |= {"class_scores": object, "error": object}
        frame = pd.DataFrame(rows, model_input.index, list(types)).astype(types)
        if chosen["broken_images"] == "raise":
            _refuse_broken(frame.pop("error"))
        return frame if chosen["class_scores"] else frame.drop(columns="class_scores")

    def _check(self, params: Mapping[str, Any]) -> None:
        on_broken, least = params["broken_images"], params["abstain_below"]
        if on_broken not in ("raise", "skip"):
            raise ImageSetError(f"broken_images must be 'raise' or 'skip', but is {on_broken!r}")
        if not 0 <= least <= 1:
            raise UserError(f"abstain_below must be a probability in [0, 1], but is {least}; give one such as 0.9")
        if least and self._temperature is None:
            raise UserError(
                "a model abstains by a calibrated probability, but this one has no temperature: none of its images "
                "were held out in folds; run its study under another name with `folds: 5`, or leave abstain_below out"
            )

    def _rows(self, contents: list[Any], params: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """Yield class name, probability, class index, class scores and, for what is no image, the reason."""
        decoded = [self._decoded(content) for content in contents]
        found = iter(self._class_scores([image for image in decoded if not isinstance(image, str)]))
        for image in decoded:
            if isinstance(image, str):
                yield None, math.nan, UNDECIDED, None, image
                continue
            scores = next(found)
            best = (scores / (self._temperature or 1.0)).softmax(0).max(0)
            probability, index = float(best.values), int(best.indices)
            if probability < params["abstain_below"]:
                yield None, probability, UNDECIDED, scores.tolist(), ""
            else:
                yield self._class_names[index], probability, index, scores.tolist(), ""

    def _decoded(self, content: Any) -> torch.Tensor | str:
        """Return the pixels of an image, or why it is none."""
        if not isinstance(content, bytes | bytearray | memoryview):
            return f"it is of type {type(content).__name__}, not bytes"
        try:
            return torch.from_numpy(decode_square(bytes(content), self._size).copy())
        except Exception as error:  # of whichever library reads its format
            return in_words(error)

    @torch.inference_mode()
    def _class_scores(self, images: list[torch.Tensor]) -> torch.Tensor:
        if not images:
            return torch.zeros((0, len(self._class_names)))
        scores: torch.Tensor = self._network(torch.stack(images))
        return scores


def _refuse_broken(errors: pd.Series) -> None:
    broken = errors[errors != ""]
    if len(broken):
        named = "; ".join(f"row {row!r}: {reason}" for row, reason in broken.iloc[:MAX_NAMED].items())
        raise ImageSetError(
            f"each row must hold the bytes of an image, but {len(broken)} of {len(errors)} do not: {named}; leave "
            "them out, or predict the others with params={'broken_images': 'skip'}"
        )


mlflow.models.set_model(ImageClassifier())

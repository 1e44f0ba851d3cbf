"""What predictions take on disk is forecast."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_predictions import make_predictions

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.records.predictions import write_predictions
from pretrieve.stages.scored_images import prediction_bytes, scored_images_path


def test_the_forecast_of_predictions_is_twice_the_file_that_a_refit_writes(tmp_path: Path) -> None:
    labels = np.arange(5_000) % 50
    write_predictions(tmp_path / "k.arrows", make_predictions(np.zeros((5_000, 50)), labels))
    images = np.zeros((5_000, 2, 2), np.uint8)
    target = image_set_from_arrays("t", [f"{k}" for k in range(50)], dict.fromkeys(("train", "test"), (images, labels)))
    assert prediction_bytes(target) == pytest.approx(2 * (tmp_path / "k.arrows").stat().st_size, rel=0.02)


def test_each_list_of_class_names_has_a_file_of_its_own() -> None:
    images, labels = np.zeros((2, 2, 2), np.uint8), np.arange(2)
    target = image_set_from_arrays("t", ["cat", "dog"], dict.fromkeys(("train", "test"), (images, labels)))
    named = replace(target, class_names=("Katze", "Hund"))
    assert scored_images_path(Path(), target) == scored_images_path(Path(), replace(target, name="other"))
    assert scored_images_path(Path(), target) != scored_images_path(Path(), named)

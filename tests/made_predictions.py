"""Kept predictions made of scores and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pretrieve.records.predictions import KeptPredictions


def make_predictions(scores: Any, labels: Any) -> KeptPredictions:
    """Make predictions of classes a, b, … with made-up names of images."""
    scores, labels = np.array(scores, np.float32), np.array(labels, np.int32)
    names = tuple(chr(ord("a") + k) for k in range(scores.shape[1]))
    images = np.array([f"{row:032x}" for row in range(len(labels))])
    return KeptPredictions("k", "birds", "uot", 7, names, {"torch": "2", "threads": "1"}, images, labels, scores)

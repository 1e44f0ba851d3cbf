"""Pictures with shapes and detail, and settings that compare little of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pretrieve.audit.calibration import calibrate, sample_rows
from pretrieve.audit.leaks import LeakReport, find_leaks
from pretrieve.audit.perceptual_hash import hash_images
from pretrieve.audit.settings import AuditSettings

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def make_pictures() -> Callable[..., Pixels]:
    """Draw pictures of colours that change smoothly, at several sizes of their shapes, as in a photograph."""

    def make(num_images: int, seed: int, size: int = 64) -> Pixels:
        rng = np.random.default_rng(seed)
        pictures = []
        for _ in range(num_images):
            pixels = np.zeros((size, size, 3))
            for cells in (3, 6, 12, 24, 48):
                noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
                pixels += np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC)) / cells**0.7
            low, high = pixels.min(), pixels.max()
            pictures.append(((pixels - low) / (high - low) * 255).astype(np.uint8))
        return np.stack(pictures)

    return make


@pytest.fixture(scope="session")
def small_settings() -> AuditSettings:
    """Settings that calibrate on few images and look for few crops."""
    return AuditSettings(
        smallest_side=0.9,
        recall=0.95,
        max_hash_false_alarms=1e-3,
        num_calibration_test=12,
        num_calibration_source=60,
        num_nearest=60,
    )


@pytest.fixture(scope="session")
def audit_in_process() -> Callable[[Pixels, Pixels, AuditSettings], LeakReport]:
    """Audit images in memory, without Ray: the reference of `audit_over_ray`."""

    def run(source_images: Pixels, test_images: Pixels, settings: AuditSettings) -> LeakReport:
        source = hash_images(source_images, settings, place="the source")
        test = hash_images(test_images, settings, place="the test split")
        thresholds = calibrate(
            source.take(sample_rows(len(source), settings.num_calibration_source, settings.seed, "source")),
            test.take(sample_rows(len(test), settings.num_calibration_test, settings.seed, "test")),
            settings,
        )
        pairs, num_candidates = find_leaks(source, test, thresholds, settings)
        return LeakReport(tuple(pairs), thresholds, len(source), len(test), num_candidates)

    return run


@pytest.fixture(scope="session")
def photographs(shared: Path) -> tuple[Pixels, Pixels]:
    """300 photographs of the source and 60 test photographs of a target."""
    loader = importlib.util.spec_from_file_location("photos", shared / "photos" / "photos.py")
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    rng = np.random.default_rng(0)
    drawn = []
    for name, number in (("source_tinyimagenet200", 300), ("target_monkeys10", 60)):
        packed = module.load(shared / "photos" / "px64" / f"{name}.npz")
        rows = np.flatnonzero(packed["split"] == (1 if name.startswith("target") else 0))
        drawn.append(packed["images"][rng.permutation(rows)[:number]])
    return drawn[0], drawn[1]

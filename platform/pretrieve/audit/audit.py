"""The audit of images in memory: which source images show what a test image shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.calibration import AuditThresholds, calibrate, likeness, sample_rows
from pretrieve.audit.candidates import NO_DISTANCE, Candidates, cosine_candidates, hash_candidates, joined
from pretrieve.audit.hashed_images import HashedImages, hash_images
from pretrieve.audit.report import LeakPair, LeakReport
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.thresholds import Threshold
from pretrieve.audit.verification import align
from pretrieve.errors import ImageSetError

DEFAULT_SETTINGS = AuditSettings()


@dataclass(frozen=True)
class AuditFeatures:
    """Features that bring up pairs beside those of the hashes.

    Attributes:
      source: (N, D) float32, a row for each source image.
      test: (V, M, D) float32, of each test image and of variants of it, such as the mirrored one.
      threshold: of their cosine, see `calibration.calibrate_cosine`.
    """

    source: NDArray[np.float32]
    test: NDArray[np.float32]
    threshold: Threshold


def audit_leaks(
    source_images: NDArray[np.uint8],
    test_images: NDArray[np.uint8],
    *,
    settings: AuditSettings = DEFAULT_SETTINGS,
    features: AuditFeatures | None = None,
    thresholds: AuditThresholds | None = None,
) -> LeakReport:
    """Find the source images that show what a test image shows: resized, re-compressed, mirrored or cropped.

    Pairs with near hashes, or near features, are candidates; each is then laid one over the other and compared pixel
    by pixel. A blank image shows nothing, so it is in no pair.

    Args:
      source_images: (N, S, S, 3) uint8 RGB, S the settings' image_size.
      test_images: (M, S, S, 3) uint8 RGB.
      settings: what is compared and how sure the thresholds must be.
      features: of the same images; None where hashes and pixels suffice.
      thresholds: those of an earlier audit; None calibrates them on the images themselves.

    Returns:
      The pairs, whose indices count the rows of the two arrays.

    Raises:
      ImageSetError: the images have another type or shape, or features belong to other images.
      UserError: there are no images to calibrate on.
    """
    source = hash_images(source_images, settings, place="the source")
    test = hash_images(test_images, settings, place="the test split")
    check_features(features, len(source), len(test))
    if thresholds is None:
        thresholds = calibrate(
            source.take(sample_rows(len(source), settings.num_calibration_source, settings.seed, "source")),
            test.take(sample_rows(len(test), settings.num_calibration_test, settings.seed, "test")),
            settings,
        )
    if features is not None:
        thresholds = replace(thresholds, cosine=features.threshold)
    pairs, num_candidates = find_leaks(source, test, thresholds, settings, features)
    return LeakReport(tuple(pairs), thresholds, len(source), len(test), num_candidates)


def find_leaks(
    source: HashedImages,
    test: HashedImages,
    thresholds: AuditThresholds,
    settings: AuditSettings,
    features: AuditFeatures | None,
) -> tuple[list[LeakPair], int]:
    """Find the pairs of one shard of the source; what is found of a source image depends on no other.

    Returns:
      The pairs, by source row and then by test row, and how many candidates were looked at.
    """
    candidates = hash_candidates(source.hashes, test.hashes, math.floor(thresholds.hash_distance.value))
    if features is not None:
        by_cosine = cosine_candidates(features.source, features.test, features.threshold.value)
        candidates = joined(candidates, by_cosine)
    return _verified(candidates, source, test, thresholds, settings), len(candidates)


def _verified(
    candidates: Candidates,
    source: HashedImages,
    test: HashedImages,
    thresholds: AuditThresholds,
    settings: AuditSettings,
) -> list[LeakPair]:
    fits = align(
        source.images[candidates.source],
        test.images[candidates.test],
        smallest_side=settings.smallest_side,
        step=settings.window_step,
    )
    scores = likeness(fits)
    return [
        LeakPair(
            source_index=int(candidates.source[pair]),
            test_index=int(candidates.test[pair]),
            kind=fits.kind(pair),
            likeness=float(scores[pair]),
            correlation=float(fits.correlations[pair]),
            detail=float(fits.details[pair]),
            colour_error=float(fits.colour_errors[pair]),
            hash_distance=_known(int(candidates.hash_distances[pair]), NO_DISTANCE),
            cosine=None if np.isnan(candidates.cosines[pair]) else float(candidates.cosines[pair]),
        )
        for pair in np.flatnonzero(scores >= thresholds.likeness.value).tolist()
    ]


def _known(value: int, unknown: int) -> int | None:
    return None if value == unknown else value


def check_features(features: AuditFeatures | None, num_source: int, num_test: int) -> None:
    """Refuse features of other images.

    Raises:
      ImageSetError: their rows are not as many as the images.
    """
    if features is None:
        return
    found = (len(features.source), features.test.shape[1])
    if found != (num_source, num_test):
        raise ImageSetError(
            f"features must have a row an image, {num_source} of the source and {num_test} of the test split, but have "
            f"{found[0]} and {found[1]}; extract them again"
        )

"""Features for an audit: of the test images, of these mirrored, and of known copies that calibrate their cosine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.audit.audit import AuditFeatures
from pretrieve.audit.calibration import calibrate_cosine, sample_rows
from pretrieve.audit.known_copies import ALTERATIONS, alter
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.sharded_audit import decode_table
from pretrieve.backbones import Backbone
from pretrieve.data.decode import encode_png
from pretrieve.data.image_table import table_of_contents
from pretrieve.errors import ImageSetError
from pretrieve.features.shards import FeatureRequest, feature_key, features_of
from pretrieve.keys import content_key, derived_seed


@dataclass(frozen=True)
class TestFeatureRequests:
    """What must be extracted of a test split before the audit of anything against it.

    Attributes:
      plain: of its images.
      mirrored: of these, left and right exchanged.
      copies: of known copies of a sample of them.
      originals: (C,) int64, the row of the test image that each copy was made of.
    """

    __test__ = False  # of a test split; pytest takes the name for its own

    plain: FeatureRequest
    mirrored: FeatureRequest
    copies: FeatureRequest
    originals: NDArray[np.int64]

    @property
    def all(self) -> tuple[FeatureRequest, ...]:
        """The three, for `extract_features`."""
        return self.plain, self.mirrored, self.copies


def plan_test_features(
    test: pa.Table, fingerprint: str, backbone: Backbone, settings: AuditSettings
) -> TestFeatureRequests:
    """Make known copies of test images, and say what features an audit by cosine needs.

    The copies are made at the size that the network sees, not at that of the pixel comparison: it would see smaller
    ones as blurred, and the threshold would be that of blurred images.

    Args:
      test: the test split's image table.
      fingerprint: of it.
      backbone: whose features are compared.
      settings: of the audit; how many test images are copied, and the seed.

    Returns:
      Requests with keys of their own.

    Raises:
      ImageSetError: none of the sampled test images decodes.
      OSError: an image's file cannot be read.
    """
    size = backbone.architecture.preprocessing.resize_size
    rows = sample_rows(test.num_rows, settings.num_calibration_test, settings.seed, "test")
    sample = decode_table(test.take(rows), size)
    if not len(sample.images):
        raise ImageSetError(f"test images must decode to be compared, but none of a sample does: {sample.broken[:1]}")
    rng = np.random.default_rng(derived_seed(settings.seed, "audit", "known copies"))
    copies = np.concatenate([alter(sample.images, name, rng) for name in ALTERATIONS])
    names = [f"copy {number}" for number in range(len(copies))]
    copied = content_key(kind="known copies", images=fingerprint, size=size, settings=asdict(settings))
    identity = backbone.identity
    return TestFeatureRequests(
        plain=FeatureRequest(feature_key(identity, fingerprint), test),
        mirrored=FeatureRequest(feature_key(identity, fingerprint, is_mirrored=True), test, is_mirrored=True),
        copies=FeatureRequest(
            feature_key(identity, copied), table_of_contents(names, list(map(encode_png, copies)), [0] * len(names))
        ),
        originals=np.tile(rows[sample.positions], len(ALTERATIONS)),
    )


def read_audit_features(
    source: NDArray[np.float32], planned: TestFeatureRequests, folder: Path, settings: AuditSettings
) -> AuditFeatures:
    """Read the extracted features of a test split, and choose the threshold of their cosine.

    Args:
      source: (N, D) float32, a row for each image that is compared with the test split; zeros where one is broken.
      planned: the extracted requests.
      folder: the feature cache.
      settings: of the audit.

    Raises:
      FileNotFoundError: a shard is missing.
      UserError: there is no source image.
    """
    of_test = np.stack([_all_of(request, folder) for request in (planned.plain, planned.mirrored)])
    sample = source[sample_rows(len(source), settings.num_calibration_source, settings.seed, "source")]
    threshold = calibrate_cosine(_all_of(planned.copies, folder), planned.originals, sample, of_test, settings)
    return AuditFeatures(source, of_test, threshold)


def _all_of(request: FeatureRequest, folder: Path) -> NDArray[np.float32]:
    return features_of(request, folder, request.table["index"].to_numpy())

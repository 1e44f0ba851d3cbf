import numpy as np
import pyarrow as pa
import pytest

from pretrieve.errors import ImageSetError
from pretrieve.features import stored_features
from pretrieve.features.centroids import class_centroids
from pretrieve.features.stored_features import FeatureRequest, feature_array, write_shard
from pretrieve_selection.errors import SelectionInputError


@pytest.fixture
def stored(rng, tmp_path, make_table, monkeypatch):
    """Features of 50 images of four classes in shards of 8, two of them broken."""
    monkeypatch.setattr(stored_features, "ROWS_PER_SHARD", 8)
    labels = rng.permutation(np.arange(50) % 4)
    request = FeatureRequest("key", make_table("set", labels.tolist()))
    features = rng.normal(3, 1, size=(50, 5)).astype(np.float32)
    errors = ["no image" if row in (3, 41) else None for row in range(50)]
    for shard in range(request.num_shards):
        rows = slice(8 * shard, 8 * shard + 8)
        table = request.shard_rows(shard).drop_columns(["content"])
        table = table.append_column("error", pa.array(errors[rows], pa.string()))
        table = table.append_column("feature", feature_array(features[rows], errors[rows]))
        write_shard(table, request.shard_path(tmp_path, shard))
    return request, features, labels


def test_centroids_are_the_means_of_the_images_that_decoded(stored, tmp_path):
    request, features, labels = stored
    found = class_centroids(request, tmp_path, num_classes=4, feature_dim=5)
    good = np.isin(np.arange(50), (3, 41), invert=True)
    for label in range(4):
        members = features[good & (labels == label)].astype(np.float64)
        np.testing.assert_allclose(found.means[label], members.mean(axis=0), rtol=1e-12)
        assert found.counts[label] == len(members)
    assert found.means.dtype == np.float64


def test_images_that_did_not_decode_are_named(stored, tmp_path):
    found = class_centroids(stored[0], tmp_path, num_classes=4, feature_dim=5)
    assert found.broken == ("set/3: no image", "set/41: no image")
    assert found.counts.sum() == 48


def test_a_class_without_an_image_that_decoded_is_refused(stored, tmp_path):
    with pytest.raises(
        SelectionInputError, match=r"every group must have at least one feature, but 1 of 5 have none: 4"
    ):
        class_centroids(stored[0], tmp_path, num_classes=5, feature_dim=5)


def test_a_class_without_an_image_that_decoded_is_refused_by_its_name_and_the_files_at_fault(stored, tmp_path):
    match = (
        r"every class must have an image that decodes, but 1 have none: emu; mend the 2 images .* first is set/3: no"
    )
    with pytest.raises(ImageSetError, match=match):
        class_centroids(stored[0], tmp_path, num_classes=5, feature_dim=5, class_names=["a", "b", "c", "d", "emu"])


def test_features_of_another_length_are_refused(stored, tmp_path):
    with pytest.raises(SelectionInputError, match=r"features must be floating point of shape \(n, 6\)"):
        class_centroids(stored[0], tmp_path, num_classes=4, feature_dim=6)

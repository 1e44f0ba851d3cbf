from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from pretrieve.backbones import BackboneParts, Preprocessing, Projector, _base, find_architecture, keep_backbone
from pretrieve.data.decode import decode_square
from pretrieve.data.image_table import table_of_contents
from pretrieve.errors import BackboneError
from pretrieve.features.forward import FeatureNetwork, choose_batch_size, decode_rows, read_rows


def _network(backbone, **options):
    return FeatureNetwork(backbone.architecture, backbone.weights_path, backbone.identity, **options)


def _extract(backbone, table, **options):
    return _network(backbone, **options).from_images(table)


def _assert_equal(column, expected):
    absent = np.full(64, np.nan, dtype=np.float32)
    references = np.stack([absent if feature is None else feature.numpy() for feature in expected])
    np.testing.assert_allclose(np.array(column.to_pylist()), references, rtol=1e-4, atol=1e-5)


def test_features_are_those_of_a_plain_loop(backbone, make_table, reference_features):
    table = make_table("a", range(7), broken=[2])
    expected = reference_features(backbone, table)
    assert np.ptp(np.stack([feature for feature in expected if feature is not None]), axis=0).max() > 0.01
    _assert_equal(_extract(backbone, table)["feature"], expected)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_the_batch_size_does_not_change_features(backbone, make_table, reference_features, batch_size):
    table = make_table("a", range(7))
    _assert_equal(_extract(backbone, table, batch_size=batch_size)["feature"], reference_features(backbone, table))


def test_rows_decoded_elsewhere_have_the_same_features(cropping_backbone, make_table):
    """As beside a GPU, where tasks decode and the actor only computes."""
    table = make_table("a", range(5), broken=[1])
    network = _network(cropping_backbone, batch_size=2)
    decoded = decode_rows(table, preprocessing=cropping_backbone.architecture.preprocessing)
    apart, together = network.from_pixels(decoded), network.from_images(table)
    assert apart.column_names == together.column_names
    assert apart.drop_columns(["feature"]).equals(together.drop_columns(["feature"]))
    np.testing.assert_array_equal(apart["feature"].to_pylist(), together["feature"].to_pylist())


def test_a_network_smaller_than_the_square_sees_its_centre(cropping_backbone, make_table, reference_features):
    table = make_table("a", range(3))
    _assert_equal(_extract(cropping_backbone, table)["feature"], reference_features(cropping_backbone, table))


def test_rows_keep_their_columns_and_order_without_pixels_and_content(backbone, make_table):
    table = make_table("a", [4, 3, 2]).append_column("further", pa.array(["x", "y", "z"]))
    found = _extract(backbone, table)
    assert set(found.column_names) == {"index", "path", "label", "further", "error", "feature"}
    for name in ("index", "path", "label", "further"):
        assert found[name].to_pylist() == table[name].to_pylist()
    assert found["feature"].type == pa.list_(pa.float32(), 64)
    assert found["error"].null_count == 3


def test_a_row_of_a_table_without_an_image_is_named_and_ends_nothing(tmp_path, make_table, cropping_backbone):
    pq.write_table(pa.table({"image": pa.array([None], pa.binary())}), tmp_path / "t.parquet")
    hole = table_of_contents([f"parquet:{tmp_path}/t.parquet#0/0/image"], [None], [0])
    rows = read_rows(pa.concat_tables([hole, make_table("x", [0, 1])]))
    errors = decode_rows(rows, preprocessing=cropping_backbone.architecture.preprocessing)["error"].to_pylist()
    assert "holds none; leave the row out" in errors[0]
    assert errors[1:] == [None, None]


def test_decoded_rows_hold_the_square_that_the_network_sees(make_table, cropping_backbone):
    table = make_table("a", range(3))
    decoded = decode_rows(table, preprocessing=cropping_backbone.architecture.preprocessing)
    pixels = np.array(decoded["pixels"].to_pylist(), dtype=np.uint8).reshape(3, 32, 32, 3)
    expected = [decode_square(content, 38)[3:35, 3:35] for content in table["content"].to_pylist()]
    np.testing.assert_array_equal(pixels, np.stack(expected))
    assert "content" not in decoded.column_names


def test_files_are_read_into_the_rows_and_contents_kept(make_table, tmp_path):
    table = make_table("a", range(2))
    first, second = table["content"].to_pylist()
    (tmp_path / "one.png").write_bytes(first)
    rows = pa.table({"path": [str(tmp_path / "one.png"), "a/1"], "content": pa.array([None, second], pa.binary())})
    assert read_rows(rows)["content"].to_pylist() == [first, second]


@pytest.mark.parametrize(("image_size", "expected"), [(32, 256), (64, 256), (224, 32), (448, 8), (4_000, 1)])
def test_on_a_cpu_a_batch_of_larger_images_has_fewer(image_size, expected):
    preprocessing = Preprocessing(image_size, image_size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert choose_batch_size(preprocessing, torch.device("cpu")) == expected
    assert choose_batch_size(preprocessing, torch.device("cuda")) == 256


def test_a_slice_of_a_table_in_pieces_has_its_own_features(backbone, make_table, reference_features):
    table = pa.concat_tables([make_table("a", range(4)), make_table("b", range(3))])
    expected = reference_features(backbone, table)[2:6]
    _assert_equal(_extract(backbone, table.slice(2, 4))["feature"], expected)


def test_a_file_that_cannot_be_read_is_no_broken_image(backbone, make_table):
    """It may be there on the next try, or on another node: cached as broken it would be missing for ever."""
    table = make_table("a", range(2))
    contents = pa.array([table["content"].to_pylist()[0], None], pa.binary())
    with pytest.raises(FileNotFoundError, match="a/1"):
        _extract(backbone, table.set_column(2, "content", contents))


def test_a_broken_image_has_an_error_and_no_feature(backbone, make_table):
    found = _extract(backbone, make_table("a", range(3), broken=[0]))
    assert np.isnan(np.array(found["feature"].to_pylist())).all(axis=1).tolist() == [True, False, False]
    assert np.isfinite(np.array(found["feature"].to_pylist()[1])).all()
    errors = found["error"].to_pylist()
    assert errors[0].startswith("an image must decode, but Pillow says: cannot identify")
    assert errors[1:] == [None, None]


def test_weights_that_do_not_fit_are_refused(backbone):
    with pytest.raises(
        BackboneError, match=r"weights of .*weights\.pt must fit the network, but: missing conv1\.weight"
    ):
        FeatureNetwork(find_architecture("resnet18"), backbone.weights_path, backbone.identity)


class NarrowAndDeep(nn.Module):
    """Has what cannot be channels-last: a narrow strided convolution, and a weight of five dimensions."""

    def __init__(self):
        super().__init__()
        self.stem, self.shortcut = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 32, 1, 2)
        self.planes = nn.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, images):
        return self.planes(self.shortcut(self.stem(images)).unsqueeze(1)).mean((3, 4)).flatten(1)


def test_a_network_that_cannot_be_channels_last_has_the_features_of_plain_torch(
    backbone, make_table, reference_features, monkeypatch, tmp_path
):
    architecture = replace(backbone.architecture, name="narrow", build=NarrowAndDeep)
    monkeypatch.setitem(_base._architectures, "narrow", architecture)
    kept = keep_backbone(architecture, BackboneParts(NarrowAndDeep().state_dict()), tmp_path)
    table = make_table("a", range(3))
    _assert_equal(_extract(kept, table)["feature"], reference_features(kept, table))


def test_features_pass_the_projector(backbone, make_table, reference_features, monkeypatch, tmp_path):
    architecture = replace(backbone.architecture, name="projecting", projector=Projector(3, lambda: nn.Linear(64, 3)))
    monkeypatch.setitem(_base._architectures, "projecting", architecture)
    weight, bias = torch.eye(3, 64) * 2, torch.ones(3)
    parts = BackboneParts(backbone.load().state_dict(), projector={"weight": weight, "bias": bias})
    table = make_table("a", range(2))
    features = _extract(keep_backbone(architecture, parts, tmp_path), table)["feature"]
    assert features.type == pa.list_(pa.float32(), 3)
    expected = torch.stack(reference_features(backbone, table))[:, :3] * 2 + 1
    np.testing.assert_allclose(np.array(features.to_pylist()), expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_a_users_own_needs_no_registration_where_it_computes(backbone, make_table, monkeypatch):
    architecture = replace(backbone.architecture, name="of-a-user")
    monkeypatch.setattr(_base, "_architectures", dict(_base._architectures))
    network = FeatureNetwork(architecture, backbone.weights_path, backbone.identity)
    assert network.from_images(make_table("a", range(2)))["error"].null_count == 2

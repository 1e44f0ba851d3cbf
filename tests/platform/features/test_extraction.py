import logging
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
from ray.data import DataContext

from pretrieve.artifacts.sealed_files import read_sealed
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.data.image_table import table_of_files
from pretrieve.errors import BackboneError
from pretrieve.features import extraction, stored_features
from pretrieve.features.centroids import class_centroids
from pretrieve.features.extraction import ExtractionResources, extract_features
from pretrieve.features.stored_features import FeatureRequest

DEADLINE_S = 60
"""Well above what these extractions take; a pipeline that waits for itself would never end."""


@pytest.fixture(scope="module")
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_features, "ROWS_PER_SHARD", 8)
        yield


@pytest.fixture(scope="module")
def requests(small_shards, make_table, tmp_path_factory):
    """Two tables: 20 images in files, two of them broken (3 shards), and 9 in the table (2 shards)."""
    folder = tmp_path_factory.mktemp("images")
    contents = make_table("a", range(20), broken=[5])["content"].to_pylist()
    files = [folder / f"{row}.png" for row in range(20)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    files[17].write_bytes(b"")
    in_files = table_of_files(files, [row % 3 for row in range(20)])
    return [FeatureRequest("a", in_files), FeatureRequest("b", make_table("b", [row % 2 for row in range(9)]))]


def _quiet_state():
    context = DataContext.get_current()
    return context.enable_progress_bars, context.target_max_block_size, logging.getLogger("ray.data").level


def _extract(requests, backbone, folder):
    progress, faults = [], []

    def extract():
        try:
            extract_features(requests, backbone, folder, on_progress=lambda *counts: progress.append(counts))
        except BaseException as error:
            faults.append(error)

    # In a thread of its own: a call that waits inside Ray hears no signal.
    thread = threading.Thread(target=extract, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), f"the extraction has not ended after {DEADLINE_S} s"
    for fault in faults:
        raise fault
    return progress


@pytest.fixture(scope="module")
def extracted(ray_cluster, requests, backbone, tmp_path_factory):
    """One extraction on the cluster: both requests, the first named twice."""
    folder = tmp_path_factory.mktemp("features")
    before = _quiet_state()
    progress = _extract([*requests, requests[0]], backbone, folder)
    return SimpleNamespace(folder=folder, progress=progress, states=(before, _quiet_state()))


def _modified(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


LOST = ("a/shard-00000-of-00003.parquet", "b/shard-00001-of-00002.parquet")


@contextmanager
def _occupied(num_cpus):
    """Hold so many of the cluster's CPUs, as trials of another study would."""
    holders = [ray.remote(num_cpus=1)(SimpleNamespace).remote() for _ in range(num_cpus)]
    ray.get([holder.__ray_ready__.remote() for holder in holders])
    try:
        yield
    finally:
        for holder in holders:
            ray.kill(holder)


@pytest.fixture(scope="module", params=[1, 2], ids=["one CPU free", "no CPU free"])
def resumed(request, extracted, requests, backbone, tmp_path_factory):
    """The extraction again after two shards were lost, beside other work on the cluster's two CPUs."""
    folder = tmp_path_factory.mktemp("resumed") / "features"
    shutil.copytree(extracted.folder, folder)
    for name in LOST:
        (folder / name).unlink()
    before = _modified(folder)
    with _occupied(request.param):
        progress = _extract(requests, backbone, folder)
    return SimpleNamespace(folder=folder, progress=progress, before=before)


def _features(request, folder):
    paths = [request.shard_path(folder, shard) for shard in range(request.num_shards)]
    tables = [pq.read_table(pa.BufferReader(read_sealed(path))) for path in paths]
    return pa.concat_tables(tables)


def _matrix(table):
    return np.array(table["feature"].to_pylist(), dtype=np.float32)


@pytest.mark.parametrize("number", [0, 1])
def test_every_image_has_the_features_of_a_plain_loop_in_its_own_row(
    extracted, requests, backbone, reference_features, number
):
    request = requests[number]
    found = _features(request, extracted.folder)
    for name in ("index", "path", "label"):
        assert found[name].to_pylist() == request.table[name].to_pylist()
    expected = reference_features(backbone, request.table)
    assert expected.count(None) == (2, 0)[number]
    absent = np.full(64, np.nan, dtype=np.float32)
    references = np.stack([absent if feature is None else feature.numpy() for feature in expected])
    np.testing.assert_allclose(_matrix(found), references, rtol=1e-4, atol=1e-5)


def test_a_shard_holds_no_more_than_its_features_and_where_they_belong(extracted, requests):
    columns = set(_features(requests[0], extracted.folder).column_names)
    assert columns == {"index", "path", "label", "error", "feature"}
    assert len(_modified(extracted.folder)) == 5
    assert len([path for path in extracted.folder.rglob("*") if path.is_file()]) == 5


def test_broken_files_are_named_through_the_centroids(extracted, requests):
    centroids = class_centroids(requests[0], extracted.folder, num_classes=3, feature_dim=64)
    assert centroids.counts.sum() == 18
    first, second = centroids.broken
    assert "5.png: an image must decode, but Pillow says: cannot identify" in first
    assert "17.png: an image must decode" in second


def test_progress_ends_with_all_shards_each_counted_once(extracted):
    assert extracted.progress[-1] == (5, 5)
    assert {total for _, total in extracted.progress} == {5}
    assert [done for done, _ in extracted.progress] == sorted(done for done, _ in extracted.progress)


def test_the_users_own_ray_data_settings_are_as_before(extracted):
    before, after = extracted.states
    assert after == before
    assert after[1] is not None


def test_after_a_kill_only_the_lost_shards_are_computed(resumed):
    after = _modified(resumed.folder)
    assert {name: time for name, time in after.items() if name not in LOST} == resumed.before
    assert set(after) == {*resumed.before, *LOST}
    assert resumed.progress[-1] == (2, 2)


def test_an_extraction_beside_other_work_finishes_with_the_same_features(resumed, extracted, requests):
    for request in requests:
        again, first = (_features(request, folder) for folder in (resumed.folder, extracted.folder))
        assert again["index"].to_pylist() == first["index"].to_pylist()
        np.testing.assert_allclose(_matrix(again), _matrix(first), rtol=1e-5, atol=1e-6)


def test_with_every_shard_there_the_cluster_is_not_asked(extracted, requests, backbone, monkeypatch):
    monkeypatch.setattr(extraction, "ray", None)
    assert _extract(requests, backbone, extracted.folder) == []


def test_weights_that_do_not_fit_are_refused_before_the_cluster_is_asked(requests, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "ray", None)
    write_weights({"other.weight": torch.ones(1)}, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=r"weights\.pt must fit the network, but: missing stem\.0\.weight"):
        _extract(requests, replace(backbone, weights_path=tmp_path / "weights.pt"), tmp_path)


def test_decoding_apart_gives_the_shards_of_decoding_in_the_actor(requests, backbone, extracted, tmp_path):
    """The two steps that a cluster with GPUs runs as a task and an actor, without the cluster."""
    request = requests[0]
    writer = extraction._ShardWriter(backbone.architecture, backbone.weights_path, backbone.identity, tmp_path)
    for shard in range(request.num_shards):
        packed = extraction._pack_shard(request.shard_path(Path(), shard), request.shard_rows(shard))
        decoded = extraction._decode_shard(packed, preprocessing=backbone.architecture.preprocessing)
        told = writer(decoded)
        assert told.to_pydict() == {"path": [request.shard_path(Path(), shard).as_posix()]}
    apart, together = (_features(request, folder) for folder in (tmp_path, extracted.folder))
    assert apart.drop_columns(["feature"]).equals(together.drop_columns(["feature"]))
    np.testing.assert_allclose(_matrix(apart), _matrix(together), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_gpus", [0, 1, 4, 8])
@pytest.mark.parametrize("num_cpus", [0, 0.5, 1, 2, 3, 16, 128])
def test_never_more_is_asked_for_than_is_free(num_cpus, num_gpus):
    resources = ExtractionResources.of_free(num_cpus, num_gpus, has_gpus=num_gpus > 0)
    assert resources.num_actors >= 1
    assert resources.num_actors * resources.cpus_per_actor <= num_cpus
    assert resources.num_actors * resources.gpus_per_actor <= num_gpus
    assert resources.cpus_per_decoder <= num_cpus


def test_actors_with_gpus_leave_the_cpus_to_the_decoders():
    resources = ExtractionResources.of_free(16, 4, has_gpus=True)
    assert resources == ExtractionResources(num_actors=4, cpus_per_actor=0, gpus_per_actor=1, cpus_per_decoder=1)


def test_busy_gpus_are_waited_for_and_not_done_without():
    resources = ExtractionResources.of_free(16, 0, has_gpus=True)
    assert (resources.num_actors, resources.gpus_per_actor) == (1, 1)


@pytest.mark.usefixtures("ray_cluster")
def test_what_others_hold_is_not_counted_as_free():
    with _occupied(1):
        assert ExtractionResources.of_cluster().num_actors == 1
    assert ExtractionResources.of_cluster().num_actors == 2

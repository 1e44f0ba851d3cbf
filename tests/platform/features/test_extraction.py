import logging
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
from ray.data import DataContext

from pretrieve.data.image_table import table_of_files
from pretrieve.errors import BackboneError
from pretrieve.features import extraction, shards
from pretrieve.features.class_centroids import class_centroids
from pretrieve.features.extraction import ExtractionResources, extract_features
from pretrieve.features.shards import FeatureRequest, shard_path

DEADLINE_S = 120
"""Well above what these extractions take; a pipeline that waits for itself would never end."""


@pytest.fixture(scope="module")
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ROWS_PER_SHARD", 8)
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
    progress = []

    def too_late(signum, frame):
        raise TimeoutError(f"the extraction has not ended after {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(DEADLINE_S)
    try:
        extract_features(requests, backbone, folder, on_progress=lambda *counts: progress.append(counts))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
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


@pytest.fixture(scope="module")
def resumed(extracted, requests, backbone, tmp_path_factory):
    """The extraction again after two shards were lost, on a cluster that has one CPU free."""
    folder = tmp_path_factory.mktemp("resumed") / "features"
    shutil.copytree(extracted.folder, folder)
    for name in LOST:
        (folder / name).unlink()
    before = _modified(folder)
    occupied = ray.remote(num_cpus=1)(SimpleNamespace).remote()
    ray.get(occupied.__ray_ready__.remote())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
        progress = _extract(requests, backbone, folder)
    ray.kill(occupied)
    return SimpleNamespace(folder=folder, progress=progress, before=before)


def _features(request, folder):
    tables = [pq.read_table(request.shard_path(folder, shard)) for shard in range(request.num_shards)]
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


def test_an_extraction_with_one_free_cpu_finishes_with_the_same_features(resumed, extracted, requests):
    for request in requests:
        again, first = (_features(request, folder) for folder in (resumed.folder, extracted.folder))
        assert again["index"].to_pylist() == first["index"].to_pylist()
        np.testing.assert_allclose(_matrix(again), _matrix(first), rtol=1e-5, atol=1e-6)


def test_with_every_shard_there_the_cluster_is_not_asked(extracted, requests, backbone, monkeypatch):
    monkeypatch.setattr(extraction, "ray", None)
    assert _extract(requests, backbone, extracted.folder) == []


def test_weights_that_do_not_fit_are_refused_before_the_cluster_is_asked(requests, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "ray", None)
    torch.save({"other.weight": torch.ones(1)}, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=r"weights\.pt must fit the network, but: missing stem\.0\.weight"):
        _extract(requests, replace(backbone, weights_path=tmp_path / "weights.pt"), tmp_path)


def _rows(name, count):
    return pa.table({"index": pa.array(range(count)), "shard": [name] * count})


def test_shards_that_arrive_in_one_block_are_written_apart(tmp_path):
    block = pa.concat_tables([_rows("a/0/2/3", 3), _rows("b/1/2/2", 2)])
    extraction._ShardSink(tmp_path).write([block], None)
    for key, shard, rows in (("a", 0, 3), ("b", 1, 2)):
        assert pq.read_table(shard_path(tmp_path, key, shard, 2)).to_pydict() == {"index": list(range(rows))}


def test_a_part_of_a_shard_is_never_written(tmp_path):
    with pytest.raises(RuntimeError, match="shard a/0/2/8 must arrive whole, but 3 rows came"):
        extraction._ShardSink(tmp_path).write([_rows("a/0/2/8", 3)], None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_gpus", [0, 1, 4, 8])
@pytest.mark.parametrize("num_cpus", [1, 2, 3, 16, 128])
def test_the_actors_leave_a_cpu_half_free_for_decoding(num_cpus, num_gpus):
    resources = ExtractionResources.of_cluster(num_cpus, num_gpus)
    assert resources.num_actors >= 1
    assert resources.num_actors * resources.cpus_per_actor <= num_cpus - 0.5
    assert resources.num_actors * resources.gpus_per_actor <= num_gpus


@pytest.mark.parametrize(
    ("num_cpus", "num_gpus", "num_actors", "gpus"), [(16, 0, 16, 0), (16, 4, 4, 1), (0.5, 0, 1, 0), (2, 0.5, 2, 0)]
)
def test_there_is_an_actor_a_gpu_else_one_a_cpu(num_cpus, num_gpus, num_actors, gpus):
    resources = ExtractionResources.of_cluster(num_cpus, num_gpus)
    assert (resources.num_actors, resources.gpus_per_actor) == (num_actors, gpus)

"""What a study's folder and the caches take, by kind."""

from __future__ import annotations

import os
from pathlib import Path

from pretrieve.artifacts.disk_use import cache_disk_use, study_disk_use


def write(path: Path, num_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(num_bytes))


def test_study_is_measured_by_kind(tmp_path: Path) -> None:
    sizes = {"checkpoints/a.pt": 400_000, "refits/b.pt": 300_000, "mlflow.db": 200_000, "mlflow.db-wal": 100_000}
    for name, size in {**sizes, "artifacts/deep/er/x": 50_000, "report.html": 20_000}.items():
        write(tmp_path / name, size)
    use = study_disk_use(tmp_path)
    expected = {"checkpoints": 400_000, "refits": 300_000, "mlflow.db": 300_000, "artifacts": 50_000, "other": 20_000}
    for kind, num_bytes in expected.items():
        assert num_bytes <= use[kind] < num_bytes + 40_000, kind
    assert use["spool"] == 0


def test_caches_are_measured_by_kind_and_no_link_leads_away(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "large", 500_000)
    write(tmp_path / "cache" / "features" / "key" / "shard", 100_000)
    (tmp_path / "cache" / "features" / "link").symlink_to(tmp_path / "elsewhere")
    use = cache_disk_use(tmp_path / "cache")
    assert set(use) == {"features"}
    assert 100_000 <= use["features"] < 140_000


def test_what_is_absent_takes_nothing(tmp_path: Path) -> None:
    assert sum(study_disk_use(tmp_path / "absent").values()) == 0
    assert cache_disk_use(tmp_path / "absent") == {}

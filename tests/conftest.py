"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import copied_stores
import forked_workers
import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TRACKING_ADDRESS = "MLFLOW_TRACKING_URI"

# Times say nothing of a test on a machine that others use too.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, then those on the cluster, so that files side by side end at the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    on_cluster = {item.path for item in items if "ray_cluster" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path not in slow, item.path not in on_cluster))


@pytest.fixture(scope="session", autouse=True)
def nothing_given() -> None:
    """Take away what the environment of the tests may say: a tracking server's address, and a terminal's width."""
    for name in (TRACKING_ADDRESS, "COLUMNS", "LINES"):  # readline sets the last two for the processes of the tests
        os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def quick_stores() -> None:
    """Copy new SQLite stores from an empty one, which is made for the first of them."""
    copied_stores.copy_new_stores(copied_stores.empty_store)


@pytest.fixture(autouse=True)
def no_tracking_server_left() -> Iterator[None]:
    """Take away the address that a test leaves, as `mlflow.set_tracking_uri` writes it into the environment.

    After the test and for good: the fixtures of the next file are made before its first test's own.
    """
    yield
    os.environ.pop(TRACKING_ADDRESS, None)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real centroids and photographs, where the checkout lies beside them."""
    folder = Path(os.environ.get("PRETRIEVE_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared real data are not at {folder}; set PRETRIEVE_SHARED")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One real local Ray cluster of two CPUs for the whole session."""
    with forked_workers.cluster(num_cpus=2):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded source of random numbers."""
    return np.random.default_rng(0)

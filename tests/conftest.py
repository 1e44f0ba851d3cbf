"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from forked_workers import forked_workers

ROOT = Path(__file__).resolve().parents[1]
TRACKING_ADDRESS = "MLFLOW_TRACKING_URI"


@pytest.fixture(scope="session", autouse=True)
def no_tracking_server_given() -> None:
    """Take away the address that the environment of the tests may name."""
    os.environ.pop(TRACKING_ADDRESS, None)


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
    """One real local Ray cluster of two CPUs for the whole session, whose workers find the tests' own modules."""
    import ray

    paths = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)

    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with forked_workers() as launcher:
        with mock.patch.object(sys, "executable", launcher):
            ray.init(
                address="local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=200 * 1024**2,
                _node_ip_address="127.0.0.1",
            )
        yield
        ray.shutdown()


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded source of random numbers."""
    return np.random.default_rng(0)

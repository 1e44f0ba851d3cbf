"""What a test leaves in the environment is gone before the fixtures of the next file are made."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The environment in which a file's own cluster or server would start."""
    return dict(os.environ)


def test_an_address_is_left() -> None:
    """As a test does that calls `mlflow.set_tracking_uri`, which writes it there."""
    os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///of_another_test.db"


def test_fixtures_made_afterwards_do_not_see_it(environment: dict[str, str]) -> None:
    assert "MLFLOW_TRACKING_URI" not in environment

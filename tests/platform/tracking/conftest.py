"""A registered model that the tests of this folder share."""

from __future__ import annotations

import pytest
from small_model import SmallModel, make_model


@pytest.fixture(scope="package")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    return make_model(tmp_path_factory.mktemp("model"))

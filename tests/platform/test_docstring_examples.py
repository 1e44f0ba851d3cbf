from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import pretrieve
from pretrieve.components import FAMILIES

# These run something when they are imported: the command line, and a model that MLflow loads.
RUN_ON_IMPORT = {"pretrieve.__main__", "pretrieve.tracking.classifier_model"}
MODULES = ["pretrieve"] + [
    module.name
    for module in pkgutil.walk_packages(pretrieve.__path__, "pretrieve.")
    if module.name not in RUN_ON_IMPORT
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for family in FAMILIES.values():  # what an example registers is gone before the next test looks a member up
        monkeypatch.setattr(family, "_registered", dict(family._registered))
    assert doctest.testmod(importlib.import_module(name)).failed == 0

import doctest
import importlib
import pkgutil

import pytest

import pretrieve_dashboards

MODULES = ["pretrieve_dashboards"] + [
    module.name for module in pkgutil.walk_packages(pretrieve_dashboards.__path__, "pretrieve_dashboards.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import pretrieve_selection

MODULES = ["pretrieve_selection"] + [
    module.name for module in pkgutil.walk_packages(pretrieve_selection.__path__, "pretrieve_selection.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_package_imports_neither_the_cluster_nor_the_tracker():
    code = "import sys, pretrieve_selection; print({'ray', 'mlflow', 'pydantic', 'torch'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"

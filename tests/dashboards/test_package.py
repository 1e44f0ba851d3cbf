import subprocess
import sys

import pytest

import pretrieve_dashboards


def test_every_public_name_can_be_imported():
    for name in pretrieve_dashboards.__all__:
        assert getattr(pretrieve_dashboards, name).__name__ == name
    assert dir(pretrieve_dashboards) == sorted(pretrieve_dashboards.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'grafana'"):
        _ = pretrieve_dashboards.grafana


def test_error_class_comes_without_mlflow_and_matplotlib():
    code = "import sys, pretrieve_dashboards.errors; print({'mlflow', 'matplotlib', 'pandas'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"

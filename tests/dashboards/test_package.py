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


def loaded_by(code):
    """Name the heavy packages that some code brings along."""
    heavy = "print(sorted({'mlflow', 'matplotlib', 'pandas'} & set(sys.modules)))"
    command = [sys.executable, "-c", f"import sys; {code}; {heavy}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_error_class_comes_without_mlflow_and_pandas():
    assert loaded_by("import pretrieve_dashboards.errors") == "[]"


def test_report_and_terminal_need_neither_mlflow_nor_matplotlib():
    assert loaded_by("from pretrieve_dashboards import print_study, render_report") == "[]"

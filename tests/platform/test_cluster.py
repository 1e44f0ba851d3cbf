import json
import os
import subprocess
import sys

import pytest
import ray

from pretrieve.cluster import check_working_directory, connected
from pretrieve.errors import UserError

OWN_CLUSTER = """
import json, os
import ray
from pretrieve.cluster import connected

def report():
    return {
        "answer": ray.get(ray.remote(lambda: 6 * 7).remote()),
        "cpus": ray.cluster_resources()["CPU"],
        "has_token": bool(os.environ.get("RAY_AUTH_TOKEN")),
        "arenas": ray.get(ray.remote(lambda: os.environ.get("MALLOC_ARENA_MAX")).remote()),
        "own_arenas": os.environ.get("MALLOC_ARENA_MAX"),
    }

with connected(num_cpus=1):
    found = report()
found["connected_after"] = ray.is_initialized()
print(json.dumps(found))
"""

FOREIGN_CLUSTER = """
import json
import ray
from pretrieve.cluster import connected

try:
    with connected(num_cpus=7):
        found = {"gcs": ray.get_runtime_context().gcs_address, "cpus": ray.cluster_resources()["CPU"]}
        raise RuntimeError("the study broke")
except RuntimeError as error:
    found |= {"error": str(error), "connected_after": ray.is_initialized()}
print(json.dumps(found))
"""


def _run(script, env):
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _environment(**changes):
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | changes


@pytest.mark.slow
def test_without_an_address_a_local_cluster_starts_behind_a_token_and_ends_with_the_block(tmp_path):
    found = _run(OWN_CLUSTER, _environment(HOME=str(tmp_path)))
    assert found == {
        "answer": 42,
        "cpus": 1,
        "has_token": True,
        "arenas": "1",
        "own_arenas": None,
        "connected_after": False,
    }
    assert not (tmp_path / ".ray" / "auth_token").exists()


def test_a_live_connection_is_used_and_left_alone(ray_cluster):
    before = ray.get_runtime_context().get_job_id()
    with connected(num_cpus=1):
        assert ray.get_runtime_context().get_job_id() == before
        assert ray.cluster_resources()["CPU"] == 2
    assert ray.is_initialized()
    assert ray.get(ray.remote(lambda: 6 * 7).remote()) == 42


@pytest.mark.slow
def test_the_cluster_of_the_address_is_used_and_survives_a_failing_block(ray_cluster):
    address = ray.get_runtime_context().gcs_address
    token = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    found = _run(FOREIGN_CLUSTER, _environment(RAY_ADDRESS=address, **token))
    assert found == {"gcs": address, "cpus": 2, "error": "the study broke", "connected_after": False}
    assert ray.get(ray.remote(lambda: 6 * 7).remote()) == 42


def test_an_address_where_nothing_listens_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    message = r"RAY_ADDRESS must name a cluster that answers, but 127\.0\.0\.1:1"
    with pytest.raises(ConnectionError, match=message), connected():
        pass


@pytest.mark.parametrize("name", ["queue.py", "random/__init__.py", "torch.py"])
def test_a_working_directory_with_a_module_that_workers_would_import_is_refused(tmp_path, name):
    check_working_directory(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="rename it, or start from another folder"):
        check_working_directory(tmp_path)


def test_a_working_directory_of_a_project_is_fine(tmp_path):
    """Such as this one, whose folder `platform` is no package, and one with tests."""
    for name in ("platform", "test", "queue"):
        (tmp_path / name).mkdir()
    (tmp_path / "test" / "__init__.py").touch()
    check_working_directory(tmp_path)


@pytest.mark.slow
def test_a_temporary_folder_with_a_long_path_is_no_hindrance(tmp_path):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    assert _run(OWN_CLUSTER, _environment(HOME=str(tmp_path), TMPDIR=str(folder)))["answer"] == 42

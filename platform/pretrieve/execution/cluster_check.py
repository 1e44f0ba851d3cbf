"""What each node of a cluster has of what a study needs, and what is missing, before anything is computed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pretrieve.errors import in_words
from pretrieve.tracking.address import without_password

PACKAGES = ("pretrieve", "ray", "torch", "torchvision", "mlflow", "numpy", "pyarrow")
"""Whose versions must be the same everywhere: results and what processes send each other depend on them."""

SECONDS_PER_NODE = 120.0
"""How long the nodes may take together: a fresh worker first imports torch."""


@dataclass(frozen=True)
class NodeCheck:
    """What a node answered.

    Attributes:
      host: its name.
      num_cpus, num_gpus: that Ray may use there.
      versions: of Python and of PACKAGES; empty for one that is not installed. Empty as a whole where the node did not
        answer.
      finds_storage: it reads the file that this process wrote into the storage, and can write beside it.
      mlflow: why it does not reach MLflow; empty where it does, and for a store that is a file.
      sees_gpus: GPUs that torch sees there.
      error: why it did not answer; else empty.
    """

    host: str
    num_cpus: float
    num_gpus: float
    versions: Mapping[str, str]
    finds_storage: bool = False
    mlflow: str = ""
    sees_gpus: int = 0
    error: str = ""


def check_nodes(storage: Path, tracking_uri: str) -> list[NodeCheck]:
    """Ask each node of the connected cluster; `storage` is made if it is not there.

    Raises:
      OSError: this process cannot write into the storage.
    """
    storage.mkdir(parents=True, exist_ok=True)
    marker = storage / f".check-{secrets.token_hex(8)}"
    marker.write_text(marker.name, encoding="utf-8")
    asked = ray.remote(num_cpus=0, max_retries=0)(node_facts())
    nodes = [node for node in ray.nodes() if node["Alive"]]
    try:
        running = [
            asked.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                str(marker), tracking_uri, PACKAGES
            )
            for node in nodes
        ]
        ray.wait(running, num_returns=len(running), timeout=SECONDS_PER_NODE)
        return [_answer(node, reference) for node, reference in zip(nodes, running, strict=True)]
    finally:
        for left in storage.glob(f"{marker.name}*"):
            left.unlink(missing_ok=True)


def _answer(node: Mapping[str, Any], reference: Any) -> NodeCheck:
    resources = node["Resources"]
    where: dict[str, Any] = {
        "host": str(node["NodeManagerHostname"]),
        "num_cpus": float(resources.get("CPU", 0)),
        "num_gpus": float(resources.get("GPU", 0)),
    }
    try:
        return NodeCheck(**where, **ray.get(reference, timeout=0))
    except RayError as error:
        return NodeCheck(**where, versions={}, error=in_words(error))


def node_facts() -> Callable[[str, str, Sequence[str]], dict[str, Any]]:
    """Return the function that runs on a node.

    Ray sends a nested function by its code, so it also runs where Pretrieve is not installed.
    """

    def facts(marker: str, tracking_uri: str, packages: Sequence[str]) -> dict[str, Any]:
        import importlib.metadata
        import os
        import platform
        import urllib.request

        versions = {"python": platform.python_version()}
        for name in packages:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = ""
        found: dict[str, Any] = {"versions": versions, "finds_storage": False, "mlflow": "", "sees_gpus": 0}
        try:
            with open(marker, encoding="utf-8") as file:  # noqa: PTH123  # the node may lack everything of ours
                found["finds_storage"] = file.read() == os.path.basename(marker)  # noqa: PTH119
            with open(f"{marker}-{os.getpid()}", "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write("written")
        except OSError:
            found["finds_storage"] = False
        if tracking_uri.startswith(("http://", "https://")):
            try:
                with urllib.request.urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=10) as reply:
                    found["mlflow"] = "" if reply.status == 200 else f"it answers with status {reply.status}"
            except (OSError, ValueError) as error:
                found["mlflow"] = f"{type(error).__name__}: {error}"
        if versions.get("torch"):
            import torch

            found["sees_gpus"] = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return found

    return facts


def faults(nodes: Sequence[NodeCheck], storage: Path, own: Mapping[str, str]) -> list[str]:
    """Return what is missing, each with the node and a remedy; nothing where a study would run.

    `own` holds the versions of the process that asks.
    """
    found = [] if nodes else ["a cluster must have a node that answers, but none is alive; start one with `ray start`"]
    for node in nodes:
        if node.error:
            found.append(f"{node.host}: a node must answer, but: {node.error}; look into Ray's logs there")
            continue
        found += [
            f"{node.host}: {name} must be {version}, as where the study starts, but is {node.versions.get(name)}; "
            "install the same version"
            if node.versions.get(name)
            else f"{node.host}: {name} must be installed, but is not; run: pip install {name}=={version}"
            for name, version in own.items()
            if version and node.versions.get(name) != version
        ]
        if not node.finds_storage:
            found.append(
                f"{node.host}: each node must read and write the storage, but this one does not find {storage}; mount "
                "the same folder there, or name another with --storage"
            )
        if node.mlflow:
            found.append(
                f"{node.host}: each node must reach MLflow, but of this one's request it holds: "
                f"{without_password(node.mlflow)}; check "
                "MLFLOW_TRACKING_URI, the server's --host and --allowed-hosts, and the firewall"
            )
        if node.sees_gpus < node.num_gpus:
            found.append(
                f"{node.host}: torch must see the GPUs that Ray gives away, {node.num_gpus:g}, but sees "
                f"{node.sees_gpus}; install torch for this GPU's driver, or start Ray with fewer: --num-gpus"
            )
    return found


def own_versions() -> dict[str, str]:
    """Return the versions of this process."""
    versions: dict[str, str] = node_facts()(os.devnull, "", PACKAGES)["versions"]
    return versions

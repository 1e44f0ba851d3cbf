"""What nodes lack, on a real cluster of one node, and what is said of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pretrieve.cli.app import main
from pretrieve.execution.cluster_check import NodeCheck, check_nodes, faults, own_versions

OWN = {"python": "3.11.2", "torch": "2.14.1", "pretrieve": "0.1.0"}
GOOD = NodeCheck("node-1", 16.0, 1.0, OWN, finds_storage=True, sees_gpus=1)


@pytest.mark.usefixtures("ray_cluster")
def test_a_node_of_this_machine_lacks_nothing_but_a_server_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = tmp_path / "yet to be made"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        main(["cluster", "check", "--storage", str(storage), "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    (node,) = answer["nodes"]
    (fault,) = answer["faults"]
    assert node["finds_storage"]
    assert node["versions"] == own_versions()
    assert "must reach MLflow" in fault
    assert "s3cret" not in printed.out + printed.err
    assert list(storage.iterdir()) == [], "it leaves nothing behind"

    (again,) = check_nodes(storage, "")
    assert faults([again], storage, own_versions()) == []


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            replace(GOOD, versions={**OWN, "torch": "2.9.0"}),
            r"torch must be 2.14.1, as where .*, but is 2.9.0; install",
        ),
        (
            replace(GOOD, versions={**OWN, "pretrieve": ""}),
            r"pretrieve must be installed, .* pip install pretrieve==0.1.0",
        ),
        (replace(GOOD, finds_storage=False), r"node-1: each node must read and write the storage, .* /shared; mount"),
        (
            replace(GOOD, mlflow="refused"),
            r"node-1: each node must reach MLflow, .* refused; check MLFLOW_TRACKING_URI",
        ),
        (replace(GOOD, sees_gpus=0), r"torch must see the GPUs that Ray gives away, 1, but sees 0; install torch"),
        (NodeCheck("node-1", 1.0, 0.0, {}, error="it died"), r"node-1: a node must answer, but: it died; look"),
    ],
)
def test_what_a_node_lacks_is_named_with_a_remedy(node: NodeCheck, said: str) -> None:
    (fault,) = faults([GOOD, node], Path("/shared"), OWN)
    assert re.search(said, fault), fault


def test_a_cluster_without_nodes_is_a_fault() -> None:
    assert len(faults([], Path("/shared"), OWN)) == 1
    assert faults([GOOD], Path("/shared"), OWN) == []

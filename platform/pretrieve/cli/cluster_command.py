"""`pretrieve cluster check`: whether the nodes of a cluster have what a study needs."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer, answering_json
from pretrieve.cli.terminal import make_table
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.execution.cluster_check import NodeCheck

cluster = typer.Typer(no_args_is_help=True, help="Look at a Ray cluster before a study runs on it.")


@cluster.command()
@answering_json
def check(
    address: Annotated[
        str | None,
        typer.Argument(help="Of the head node, such as `HEAD:6379`. Default: RAY_ADDRESS, else Ray on this machine."),
    ] = None,
    storage: Annotated[Path | None, typer.Option(help="Folder of studies that every node must reach.")] = None,
) -> Answer:
    """Say what is missing on each node: versions, the storage, MLflow, GPUs. Computes nothing.

    `pretrieve cluster check HEAD:6379 --storage /shared/pretrieve`

    MLflow is that of MLFLOW_TRACKING_URI. The exit status is 1 where something is missing.
    """
    from pretrieve.cluster import connected
    from pretrieve.execution.cluster_check import check_nodes, faults, own_versions

    folder = (storage or Path("pretrieve-runs")).expanduser().absolute()
    if address is not None:
        os.environ["RAY_ADDRESS"] = address
    with connected():
        nodes = check_nodes(folder, os.environ.get("MLFLOW_TRACKING_URI", ""))
    missing = faults(nodes, folder, own_versions())
    _print(nodes)
    for fault in missing:
        echo(f"- {fault}")
    echo("nothing is missing" if not missing else f"missing: {len(missing)}")
    return {"nodes": [asdict(node) for node in nodes], "faults": missing, "exit_status": int(bool(missing))}


def _print(nodes: list[NodeCheck]) -> None:
    table = make_table(("node", ">CPUs", ">GPUs", "Python", "torch", "Pretrieve", "storage", "MLflow"), box=None)
    for node in nodes:
        versions = [node.versions.get(name) or "–" for name in ("python", "torch", "pretrieve")]
        answers = ("yes" if node.finds_storage else "no", "no" if node.mlflow else "yes")
        table.add_row(node.host, f"{node.num_cpus:g}", f"{node.num_gpus:g}", *versions, *answers)
    make_console().print(table)

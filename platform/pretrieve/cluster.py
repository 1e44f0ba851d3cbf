"""Connecting to a Ray cluster: the one that RAY_ADDRESS names, else a local one of this process."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

LOCAL_OBJECT_STORE_BYTES = 512 * 1024**2
CONNECT_TIMEOUT_S = 10.0

WORKER_ENVIRONMENT = {
    # glibc returns each freed buffer of more than 32 MB to the system, and maps and zeroes it again for the next use.
    # On a CPU this takes up to two thirds of a forward pass (benchmarks/allocator.py). So workers keep freed memory.
    # They use one arena, because trials run in a thread, and the arenas of threads return their memory in any case.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_ARENA_MAX": "1",
}


@contextmanager
def connected(*, num_cpus: int | None = None) -> Iterator[None]:
    """Connect to Ray for the length of the block; an existing connection is used and stays.

    Args:
      num_cpus: CPUs of a local cluster; None takes all of this machine.

    Raises:
      ConnectionError: RAY_ADDRESS names a cluster that does not answer.
    """
    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        _check_answer(os.environ["RAY_ADDRESS"])
        ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": WORKER_ENVIRONMENT})
    else:
        _start_local(num_cpus)
    try:
        yield
    finally:
        ray.shutdown()


def whole_node() -> tuple[int, int]:
    """Return the CPUs and GPUs of a task that takes a whole node: those of the smallest node, at most one GPU."""
    of_nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    # A head node that runs no tasks has no CPUs.
    num_cpus = max(1, int(min((cpus for cpus in of_nodes if cpus), default=1)))
    return num_cpus, 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


@contextmanager
def causes_of_task_errors() -> Iterator[None]:
    """Raise the error of a task itself, instead of Ray's wrapper with the traceback of another process."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        while isinstance(cause, ray.exceptions.RayTaskError):
            cause = cause.cause
        if not isinstance(cause, Exception):
            raise
        raise cause from None


def _check_answer(address: str) -> None:
    """Refuse an address where nothing listens: Ray would try it for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto", "local" and the like: Ray finds them itself
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(
            f"RAY_ADDRESS must name a cluster that answers, but {address} does not: {error}; start it, correct the "
            "address, or unset RAY_ADDRESS to run on this machine"
        ) from error


def _start_local(num_cpus: int | None) -> None:
    # Ray's servers listen on all interfaces, so a local cluster asks for a token that only this process and its child
    # processes know. Ray turns token authentication on if there is a token and no RAY_AUTH_MODE; without a token it
    # would write one into the user's home.
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=LOCAL_OBJECT_STORE_BYTES,
        _node_ip_address="127.0.0.1",
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
    )

"""Connecting to a Ray cluster: the one named by RAY_ADDRESS, else one of this process's own."""

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
    # glibc gives each buffer of more than 32 MB back to the system and has it mapped and zeroed anew when a network
    # asks for it again: on a CPU up to two thirds of the time of a forward pass (benchmarks/allocator.py). Workers keep
    # what they free, in one arena: trials run in a thread, and the arenas of threads give their memory back anyhow.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_ARENA_MAX": "1",
}


@contextmanager
def connected(*, num_cpus: int | None = None) -> Iterator[None]:
    """Be connected to Ray within the block; a connection that was there before is used and left alone.

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
    """Return the CPUs and GPUs of a task that wants a node for itself: those of the smallest node, at most one GPU."""
    of_nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    # A head that is to run nothing has no CPU, and no task goes there.
    num_cpus = max(1, int(min((cpus for cpus in of_nodes if cpus), default=1)))
    return num_cpus, 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


@contextmanager
def causes_of_task_errors() -> Iterator[None]:
    """Raise what a task raised, instead of Ray's wrapping of it with the traceback of another process."""
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
    """Refuse an address where nothing listens: Ray itself would try for minutes."""
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
    # Ray's servers listen on all interfaces whatever address they are given, so a cluster of one's own asks for a token
    # that only this process and those it starts know. Ray turns token authentication on when it finds a token and no
    # RAY_AUTH_MODE; left without one it would write a token into the user's home.
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

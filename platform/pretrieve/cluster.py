"""Connecting to a Ray cluster: the one that RAY_ADDRESS names, else a local one of this process."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray

from pretrieve.errors import ClusterStartError, PretrieveError, UserError, WorkerError, in_words
from pretrieve.guarded_processes import guarded
from pretrieve.interruption import keeping_handlers

LOCAL_OBJECT_STORE_BYTES = 512 * 1024**2
CONNECT_TIMEOUT_S = 10.0

NUM_STARTS = 3
"""Ray gives itself 30 s to start, which a busy machine may exceed."""

NEVER_IMPORTED = {"antigravity", "idlelib", "test", "this", "tkinter", "turtle", "turtledemo"}
"""Modules of Python whose names a project may have for its own."""

IMPORTED_BY_WORKERS = frozenset(
    {
        "click", "filelock", "mlflow", "numpy", "packaging", "pandas", "PIL", "psutil", "pyarrow", "pydantic", "ray",
        "requests", "scipy", "sklearn", "torch", "torchvision", "yaml",
    }
)  # fmt: skip
"""Packages that a trial or Ray itself imports. To look all dependencies up would take seconds."""

MAX_FOLDER_BYTES = 40
"""Of the path of Ray's folder: that of a socket in it has 66 more, and may have 107."""

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
    check_working_directory(Path.cwd())
    with ExitStack() as stack:
        if os.environ.get("RAY_ADDRESS"):
            _check_answer(os.environ["RAY_ADDRESS"])
            with keeping_handlers():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": WORKER_ENVIRONMENT})
        else:
            stack.enter_context(_local(num_cpus))
        stack.callback(ray.shutdown)
        yield


@contextmanager
def _local(num_cpus: int | None) -> Iterator[None]:
    """Start Ray on this machine, again where it is slow to start; end all of its processes after the block."""
    for left in reversed(range(NUM_STARTS)):
        with ExitStack() as stack:
            marks = stack.enter_context(guarded())
            try:
                with keeping_handlers():
                    _start_local(num_cpus, marks)
            except Exception as error:
                ray.shutdown()
                if left and "timed out" in str(error):
                    continue
                raise ClusterStartError(
                    f"Ray must start on this machine, but does not: {in_words(error)}; free memory and processors, or "
                    f"look into its logs in {_ray_folder()}, and run the study again"
                ) from error
            yield
            return


def check_working_directory(folder: Path) -> None:
    """Refuse a working directory with a file that workers would import in place of a module of Python.

    Ray puts the directory before all others on the path of its workers.

    Raises:
      UserError: there is such a file; the message names it.
    """
    names = sorted((sys.stdlib_module_names - NEVER_IMPORTED) | IMPORTED_BY_WORKERS)
    found = next(
        (path for name in names for path in (folder / f"{name}.py", folder / name / "__init__.py") if path.is_file()),
        None,
    )
    if found is not None:
        raise UserError(
            f"the working directory must hold no module with the name of one that workers import, but holds {found}; "
            "rename it, or start from another folder"
        )


def _ray_folder() -> str:
    """Return the folder for Ray's files: a long path would be too long for the sockets in it."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    usual = str(Path(folder, "ray"))
    return usual if len(os.fsencode(usual)) <= MAX_FOLDER_BYTES else f"/tmp/ray-{os.getuid()}"


def whole_node() -> tuple[int, int]:
    """Return the CPUs and GPUs of a task that takes a whole node: those of the smallest node, at most one GPU."""
    of_nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    # A head node that runs no tasks has no CPUs.
    num_cpus = max(1, int(min((cpus for cpus in of_nodes if cpus), default=1)))
    return num_cpus, 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


class CarriedError(Exception):
    """Brings an `error` through Ray Data, which changes the arguments of errors and so loses the names of files."""

    error: Exception


@contextmanager
def carrying_errors() -> Iterator[None]:
    """Raise errors of a function that Ray Data calls as CarriedErrors; `causes_of_task_errors` unpacks them."""
    try:
        yield
    except Exception as error:
        carried = CarriedError()
        carried.error = error
        raise carried from error


@contextmanager
def causes_of_task_errors() -> Iterator[None]:
    """Raise the error of a task itself, instead of Ray's wrappers with the traceback of another process.

    Raises:
      PretrieveError, SelectionInputError, OSError: as the task raised it.
      WorkerError: the task raised another error, or its process ended; it holds the text of the error.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: object = error
        while (wrapped := _wrapped_by(cause)) is not None:
            cause = wrapped
        if _needs_no_wrapper(cause):
            raise cause from None  # type: ignore[misc]
        # Of errors in a row, the first is the cause; the errors themselves do not come along from another process.
        first = str(error).partition("\nThe above exception was the direct cause")[0]
        raise WorkerError(_last_words(cause, first), _last_place(first)) from error


def _wrapped_by(error: object) -> object:
    """Return the error in one that wraps it, of a task or of a function of Ray Data; None where it wraps none."""
    if isinstance(error, CarriedError):
        return error.error
    if isinstance(error, ray.exceptions.RayTaskError):
        return error.cause
    return error.__cause__ if isinstance(error, ray.exceptions.UserCodeException) else None


def _needs_no_wrapper(cause: object) -> bool:
    from pretrieve_selection import SelectionInputError  # late: SciPy and faiss

    return isinstance(cause, PretrieveError | SelectionInputError | OSError)


def _last_words(cause: object, traceback: str) -> str:
    """Return kind and text of an error; of Ray's own, the last line of the traceback, where there is one."""
    if isinstance(cause, Exception) and not isinstance(cause, ray.exceptions.RayError):
        return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    is_traceback = any(line.startswith("File ") for line in lines)
    return (lines[-1] if is_traceback else " ".join(lines)) if lines else type(cause).__name__


def _last_place(traceback: str) -> str:
    """Return the file and line in which a traceback ends; empty where there is none."""
    places = re.findall(r'File "([^"]+)", line (\d+)', traceback)
    return f"{places[-1][0]}, line {places[-1][1]}" if places else ""


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


def _start_local(num_cpus: int | None, marks: Mapping[str, str]) -> None:
    """Start Ray on this machine; its processes get the variables `marks`, which this process does not keep."""
    # Ray's servers listen on all interfaces, so a local cluster asks for a token that only this process and its child
    # processes know. Ray turns token authentication on if there is a token and no RAY_AUTH_MODE; without a token it
    # would write one into the user's home.
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.update(marks)
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=LOCAL_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=_ray_folder(),
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )
    finally:
        for name in marks:
            del os.environ[name]

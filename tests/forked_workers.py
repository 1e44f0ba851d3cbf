"""Ray's workers forked from a process that has imported what they need: a start takes a tenth of a second, not three.

The tests start hundreds of workers, and each would import torch and Ray anew. While `cluster()` starts Ray, another
program stands in for Python, and Ray starts its processes by it: a worker is forked from a parent process that has
imported torch once (`forked_launch.py`). Of Ray's other processes the reader of logs, which nobody listens to, sleeps;
all others are started as always. Nothing else of Ray is changed.

Ray reads the environment of a worker when it is imported. So workers with the same variables of Ray, which are those of
one job on one node, have a parent of their own between the first one and them. It imports Ray, and ends with the node.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import logging
import os
import runpy
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

IMPORTED_ONCE = (
    "torch._dynamo",
    "torchvision",
    "pandas",
    "pyarrow.dataset",
    "pydantic.v1",
    "starlette.datastructures",
    "scipy.optimize",
    "sklearn.linear_model",
    "pretrieve.training.fine_tuning",
)
"""Without Ray."""
IMPORTED_FOR_A_JOB = (
    "ray.tune",
    "ray.data",
    "ray.data._internal.issue_detection",
    "ray.dag",
    "pretrieve.execution.measuring.speed",
    "pretrieve.execution.tuner",
    "pretrieve.features.extraction",
    "pretrieve.image_cache.build",
)
NO_JOB = "ffffffff"


@contextlib.contextmanager
def cluster(**resources: int) -> Iterator[None]:
    """Start a real local Ray cluster of its own, whose workers are forked and find the tests' own modules."""
    import ray

    paths = [str(Path(__file__).resolve().parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with mock.patch.object(sys, "executable", launcher()):
        ray.init(
            address="local",
            **resources,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=200 * 1024**2,
            _node_ip_address="127.0.0.1",
        )
    yield
    ray.shutdown()


@functools.cache
def launcher() -> str:
    """Return what `sys.executable` must be while a cluster is started; its parent process ends with this process."""
    folder = tempfile.TemporaryDirectory()
    address, program, here = f"{folder.name}/parent", Path(folder.name, "launcher"), Path(__file__).resolve()
    called = f"from forked_launch import launch; launch({sys.executable!r}, {address!r}, sys.argv[1:])"
    program.write_text(f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(here.parent)!r})\n{called}\n")
    program.chmod(0o755)
    parent = subprocess.Popen([sys.executable, str(here), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n", "the parent of the workers could not be started"
    atexit.register(_end, parent, folder)
    return str(program)


def _end(parent: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    parent.kill()
    parent.communicate()
    folder.cleanup()


def serve(address: str) -> None:
    """Import what workers need, then pass each request for one on to the parent of its job."""
    for module in IMPORTED_ONCE:
        __import__(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parents: dict[frozenset[tuple[str, str]], socket.socket] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:  # whoever started this process has ended
                return
            connection, _ = listener.accept()
            with connection:
                request, files, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            if not request:
                continue
            environment = json.loads(request)["environment"]
            job = frozenset(item for item in environment.items() if item[0].startswith("RAY_"))
            try:
                socket.send_fds(parents[job], [request], files)
            except (KeyError, OSError):  # there is none, or it ended with its node
                parents[job], other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                if os.fork() == 0:
                    break
                other_end.close()
                socket.send_fds(parents[job], [request], files)
            for file in files:
                os.close(file)
    for inherited in parents.values():
        inherited.close()
    for file in files:
        os.close(file)
    os.dup2(2, 1)  # the end of the first parent's output is waited for
    serve_job(other_end, environment)


def serve_job(requests: socket.socket, environment: dict[str, str]) -> None:
    """Import Ray with the environment of a job's workers, then fork one for each request."""
    _take_over(environment)
    with _own_names_of_actor_classes():
        # Ray starts the first workers of a node for no job; few of them ever train.
        for module in ("ray",) if environment.get("RAY_JOB_ID") == NO_JOB else IMPORTED_FOR_A_JOB:
            __import__(module)
    gc.freeze()
    node = os.pidfd_open(int(environment["RAY_RAYLET_PID"]))
    while True:
        ready, _, _ = select.select([requests, node], [], [])
        if node in ready:
            return
        request, files, _, _ = socket.recv_fds(requests, 1 << 20, 2)
        if not request:  # the first parent has ended
            return
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    requests.close()
    os.close(node)
    run_worker(files, **json.loads(request))


@contextlib.contextmanager
def _own_names_of_actor_classes() -> Iterator[None]:
    """Name the actor classes of imported modules without Ray's generator of names.

    Once it is used, it has its seed, and all forked workers would give the same names to what they make.
    """
    import ray

    class Names:
        @staticmethod
        def from_random() -> object:
            return ray.ActorClassID(os.urandom(ray.ActorClassID.size()))

    with mock.patch("ray.actor.ActorClassID", Names):
        yield


def _take_over(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path.extend(path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path)


def run_worker(files: list[int], arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Run Ray's program of a worker in this process."""
    os.setpgrp()  # Ray signals the groups of its workers
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    _take_over(environment)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])

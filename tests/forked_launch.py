"""What stands in for Python while Ray starts its processes: it is started for each of them, so it imports little."""

from __future__ import annotations

import json
import os
import socket


def launch(python: str, address: str, arguments: list[str]) -> None:
    """Ask the parent for a worker, or become another process of Ray."""
    command, environment = arguments, dict(os.environ)
    if command and command[0].endswith("setup_worker.py"):  # applies a runtime environment, then starts the worker
        options = dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)
        context = json.loads(options["serialized-runtime-env-context"])
        if not context["command_prefix"]:
            environment |= context["env_vars"]
            command = [word for word in command[1:] if not word.startswith(("--serialized-runtime", "--language="))]
    if any(word.endswith("log_monitor.py") for word in command):  # it reads all logs, and no driver asks for them
        os.execvp("sleep", ["sleep", "infinity"])
    if not command or not command[0].endswith("default_worker.py"):
        os.execv(python, [python, *arguments])
    request = json.dumps({"arguments": command, "environment": environment, "folder": os.getcwd()})  # noqa: PTH109 - pathlib takes longer than all else here
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as parent:
        parent.connect(address)
        socket.send_fds(parent, [request.encode()], [1, 2])

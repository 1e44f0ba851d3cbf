"""The name of the worker that a process is: its node, and the GPUs that Ray gave it."""

from __future__ import annotations

import os
import socket


def this_worker() -> str:
    """Name the worker of this process for people.

    Ray tells a process its GPUs by CUDA_VISIBLE_DEVICES; where nobody set it, or set it to none, the node alone is
    named.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    node = socket.gethostname()
    return f"{node} · GPU {' + '.join(gpus)}" if gpus else node

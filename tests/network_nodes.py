"""Ray nodes in network namespaces of their own behind a bridge, so that one's link can be cut. Needs root."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ports import free_port

HEAD_ADDRESS = "10.231.7.1"
START_TIMEOUT_S = 120.0
OBJECT_STORE_BYTES = 100 * 1024**2


def why_not() -> str | None:
    """Say why this machine cannot have such nodes; None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip (Debian: iproute2)"
    name = f"probe{secrets.token_hex(3)}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return "this machine refuses network namespaces"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@dataclass
class Node:
    """A raylet in a namespace of its own, or the place where one was.

    Attributes:
      number: from 1.
      tag: part of the names of its namespace and link.
    """

    number: int
    tag: str

    @property
    def namespace(self) -> str:
        """Name of its namespace."""
        return f"{self.tag}n{self.number}"

    @property
    def link(self) -> str:
        """Name of the bridge's end of its link."""
        return f"{self.tag}l{self.number}"

    @property
    def address(self) -> str:
        """Its IP address."""
        return f"10.231.7.{10 + self.number}"


@dataclass
class NetworkNodes:
    """A head without CPUs and two nodes of one CPU, each node behind a link of its own.

    Attributes:
      folder: for Ray's session files and logs; its path must be short.
    """

    folder: Path
    nodes: list[Node] = field(default_factory=list)
    _tag: str = field(default_factory=lambda: f"pt{secrets.token_hex(2)}")
    _port: int = 0

    @property
    def ray_address(self) -> str:
        """What RAY_ADDRESS is to be."""
        return f"{HEAD_ADDRESS}:{self._port}"

    def start(self) -> None:
        """Make the bridge, the namespaces and the cluster."""
        _ip("link", "add", f"{self._tag}b", "type", "bridge")
        _ip("address", "add", f"{HEAD_ADDRESS}/24", "dev", f"{self._tag}b")
        _ip("link", "set", f"{self._tag}b", "up")
        self._port = free_port(HEAD_ADDRESS)
        self._ray([], "--head", f"--port={self._port}", f"--node-ip-address={HEAD_ADDRESS}", "--num-cpus=0")
        for number in (1, 2):
            node = Node(number, self._tag)
            self._wire(node)
            self.nodes.append(node)
            self.start_raylet(node)

    def _wire(self, node: Node) -> None:
        inner = f"{node.link}i"
        _ip("netns", "add", node.namespace)
        _ip("link", "add", node.link, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", node.namespace)
        _ip("link", "set", node.link, "master", f"{self._tag}b", "up")
        _ip("-n", node.namespace, "address", "add", f"{node.address}/24", "dev", inner)
        _ip("-n", node.namespace, "link", "set", inner, "up")
        _ip("-n", node.namespace, "link", "set", "lo", "up")

    def start_raylet(self, node: Node) -> None:
        """Start the Ray node in a namespace."""
        inside = ["ip", "netns", "exec", node.namespace]
        self._ray(inside, f"--address={self.ray_address}", f"--node-ip-address={node.address}", "--num-cpus=1")

    def _ray(self, prefix: list[str], *words: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            # A node behind a cut link is given up within seconds rather than a minute.
            "RAY_health_check_initial_delay_ms": "5000",
            "RAY_health_check_period_ms": "2000",
            "RAY_health_check_timeout_ms": "4000",
            "RAY_health_check_failure_threshold": "4",
        }
        # Not the first folder of PATH: in another namespace the same file system is seen.
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", *words]
        command += [f"--object-store-memory={OBJECT_STORE_BYTES}", "--disable-usage-stats"]
        if "--head" in words:
            command += [f"--temp-dir={self.folder}", "--include-dashboard=false"]
        log = self.folder / "nodes.log"
        with log.open("a", encoding="utf-8") as file:
            done = subprocess.run(
                command, stdout=file, stderr=file, env=environment, timeout=START_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        assert done.returncode == 0, log.read_text(encoding="utf-8")[-3_000:]

    def kill_raylet(self, node: Node) -> None:
        """Kill every process in a namespace at once, as a machine that loses its power."""
        for _ in range(20):
            found = subprocess.run(["ip", "netns", "pids", node.namespace], capture_output=True, text=True).stdout
            if not found.split():
                return
            for pid in found.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.2)
        raise AssertionError(f"processes of {node.namespace} survive SIGKILL: {found}")

    def cut(self, node: Node) -> None:
        """Cut the link of a node; everything in its namespace goes on by itself."""
        _ip("link", "set", node.link, "down")

    def mend(self, node: Node) -> None:
        """Mend it."""
        _ip("link", "set", node.link, "up")

    def stop(self) -> None:
        """End the cluster and take everything away."""
        for node in self.nodes:
            with contextlib.suppress(AssertionError):
                self.kill_raylet(node)
        for process in _processes_of(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for node in self.nodes:
            subprocess.run(["ip", "netns", "delete", node.namespace], capture_output=True)
            subprocess.run(["ip", "link", "delete", node.link], capture_output=True)
        subprocess.run(["ip", "link", "delete", f"{self._tag}b"], capture_output=True)


def _processes_of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found

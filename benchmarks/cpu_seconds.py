"""Who uses the CPUs while something runs: this process, those that train, and Ray's own."""

from __future__ import annotations

import contextlib
import threading

import psutil

INTERVAL_S = 1.0
OWN, TRIALS, RAY = "this process (driver, Tune, MLflow's client)", "the trials' processes", "Ray's own processes"


class CpuSeconds:
    """Counts the CPU seconds of this process and all below it between `begin` and `end`; looks once a second.

    Attributes:
      used: CPU seconds by kind of process, once it has ended.
    """

    def __init__(self) -> None:
        self.used: dict[str, float] = {}
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._kinds: dict[int, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def begin(self) -> None:
        """Begin to count."""
        for pid, seconds in self._now().items():
            self._first[pid] = seconds
        self._thread.start()

    def end(self) -> None:
        """End the count."""
        self._ended.set()
        self._thread.join()
        for pid, seconds in self._last.items():
            name = self._kinds[pid]
            self.used[name] = self.used.get(name, 0.0) + seconds - self._first.get(pid, 0.0)

    def _look(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._last |= self._now()

    def _now(self) -> dict[int, float]:
        own = psutil.Process()
        seconds: dict[int, float] = {}
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
                if process.pid == own.pid:
                    self._kinds[process.pid] = OWN
                elif "ImplicitFunc" in " ".join(process.cmdline()):
                    self._kinds[process.pid] = TRIALS
                else:
                    self._kinds.setdefault(process.pid, RAY)
        return seconds

"""A connection to Ray made at the first piece of work that needs one: a finished study starts no cluster."""

from __future__ import annotations

from contextlib import ExitStack

from pretrieve.errors import ResourceError
from pretrieve.search.compute import ComputeSettings, TrialResources, node_resources


class LazyCluster:
    """Connects once, when first needed, and disconnects with its stack.

    Args:
      stack: closes the connection at the end of the study.
      compute: what a trial asks for; checked at once, before anything is computed.
      counts_gpus: whether the study has a budget of GPU-hours, which a cluster without GPUs would never use up.

    Attributes:
      compute: what a trial asks for, with what was left open once it is measured.
    """

    def __init__(self, stack: ExitStack, compute: ComputeSettings, *, counts_gpus: bool = False) -> None:
        self._counts_gpus = counts_gpus
        self._stack = stack
        self.compute = compute
        self._is_connected = False

    def connect(self) -> None:
        """Be connected from here to the end of the study.

        Raises:
          ConnectionError: RAY_ADDRESS names a cluster that does not answer.
          ResourceError: no node has what a trial asks for.
        """
        if not self._is_connected:
            from pretrieve.cluster import connected

            self._stack.enter_context(connected())
            self._is_connected = True
            resources = self.trial_resources()
            if self._counts_gpus and not resources.gpus:
                raise ResourceError(
                    "budget.max_gpu_hours must be of trials that have GPUs, but on this cluster they have none; give "
                    "budget.max_wall_hours in its place"
                )

    def trial_resources(self) -> TrialResources:
        """Decide what each trial gets on the connected cluster.

        Raises:
          ResourceError: no node has what a trial asks for.
        """
        return TrialResources.on_cluster(self.compute, node_resources())

"""A connection to Ray that is made when work first needs it: a study whose results are all there starts no cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pretrieve.errors import ResourceError
from pretrieve.execution.compute import ComputeSettings, TrialResources, node_resources

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings


def only_on_gpus(settings: StudySettings) -> tuple[str, ...]:
    """List error messages, one for each setting of the study that makes sense only where trials have GPUs."""
    refusals = []
    if settings.budget.max_gpu_hours is not None:
        refusals.append(
            "budget.max_gpu_hours must be of trials that have GPUs, but on this cluster they have none; give "
            "budget.max_wall_hours in its place"
        )
    if settings.training.synchronised_batch_norm and settings.compute.workers_per_trial > 1:
        refusals.append(
            "training.synchronised_batch_norm must be of trials that have GPUs, as torch has it for no CPU, but on "
            "this cluster they have none; leave it out, and each worker's batch norm sees its own part of a batch"
        )
    return tuple(refusals)


class LazyCluster:
    """Connects once, when first needed, and disconnects when its stack closes.

    Args:
      stack: closes the connection at the end of the study.
      compute: what a trial asks for.
      only_on_gpus: error messages; the first is raised where the cluster's trials have no GPUs.

    Attributes:
      compute: what a trial asks for, with what was left open once it is measured.
    """

    def __init__(self, stack: ExitStack, compute: ComputeSettings, *, only_on_gpus: Sequence[str] = ()) -> None:
        self._only_on_gpus = only_on_gpus
        self._stack = stack
        self.compute = compute
        self._is_connected = False

    def connect(self) -> None:
        """Connect, until the end of the study.

        Raises:
          ConnectionError: RAY_ADDRESS names a cluster that does not answer.
          ResourceError: no node has what a trial asks for.
        """
        if not self._is_connected:
            from pretrieve.cluster import connected

            self._stack.enter_context(connected())
            self._is_connected = True
            if not self.trial_resources().gpus and self._only_on_gpus:
                raise ResourceError(self._only_on_gpus[0])

    def trial_resources(self) -> TrialResources:
        """Return what each trial gets on the connected cluster.

        Raises:
          ResourceError: no node has what a trial asks for.
        """
        return TrialResources.on_cluster(self.compute, node_resources())

"""A connection to Ray that is made when work first needs it: a study whose results are all there starts no cluster."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from pretrieve.errors import ResourceError
from pretrieve.execution.compute import TrialResources, node_resources

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings


class LazyCluster:
    """Connects once, when first needed, and disconnects when its stack closes.

    Attributes:
      compute: what a trial asks for, with what the study left open once it is measured.
    """

    def __init__(self, stack: ExitStack, settings: StudySettings) -> None:
        self._stack = stack
        self._settings = settings
        self.compute = settings.compute
        self._is_connected = False

    def connect(self) -> None:
        """Connect, until the end of the study.

        Raises:
          ConnectionError: RAY_ADDRESS names a cluster that does not answer.
          ResourceError: no node has what a trial asks for, or a setting needs GPUs that its trials do not have.
        """
        if not self._is_connected:
            from pretrieve.cluster import connected

            self._stack.enter_context(connected())
            self._is_connected = True
            if not self.trial_resources().gpus:
                _check_without_gpus(self._settings)

    def trial_resources(self) -> TrialResources:
        """Return what each trial gets on the connected cluster.

        Raises:
          ResourceError: no node has what a trial asks for.
        """
        return TrialResources.on_cluster(self.compute, node_resources())


def _check_without_gpus(settings: StudySettings) -> None:
    settings.budget.check_without_gpus()
    if settings.training.synchronised_batch_norm and settings.compute.workers_per_trial > 1:
        raise ResourceError(
            "training.synchronised_batch_norm needs trials that have GPUs (torch has it for GPUs only), but on this "
            "cluster they have none; leave it out, and each worker's batch norm sees its own part of a batch"
        )

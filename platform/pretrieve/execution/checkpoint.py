"""The state of a training between two epochs, on disk: whole or absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pretrieve.artifacts.sealed_files import is_kept, read_sealed, sealing, set_aside
from pretrieve.backbones.state_dicts import faults_of
from pretrieve.errors import DamagedArtifactError
from pretrieve.training.network import TwoHeadNetwork

PARTS = {"epochs_done", "network", "optimizer", "further"}


class CheckpointFile:
    """One file with the latest epoch of one trial; carries out `training.loop.Checkpoint`.

    `writing` calls the function that writes the file, and calls it again after the disk was full.
    """

    def __init__(self, path: Path, writing: Callable[[Callable[[], None]], None] = lambda write: write()) -> None:
        self._path = path
        self._writing = writing

    def save(
        self,
        epochs_done: int,
        network: TwoHeadNetwork,
        optimizer: torch.optim.Optimizer,
        further: Mapping[str, Tensor],
    ) -> None:
        state = {"epochs_done": epochs_done, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
        state["further"] = dict(further)

        def write() -> None:
            # torch.save gets a Python file, because torch's own file does not tell a full disk from other errors.
            with sealing(self._path, is_durable=True) as temporary, temporary.open("wb") as file:
                torch.save(state, file)

        self._writing(write)

    def restore(self, network: TwoHeadNetwork, optimizer: torch.optim.Optimizer, further: Mapping[str, Tensor]) -> int:
        """Load the state into what is given and return the epochs done; 0 where there is no whole file.

        A file that is damaged, or holds the state of another training, is set aside under a name that the log gives,
        and nothing is changed: the training begins anew.
        """
        if not is_kept(self._path):
            return 0
        try:
            state = _readable(self._path)
            _refuse_another(self._path, state, network, further)
            optimizer.load_state_dict(state["optimizer"])
        except FileNotFoundError:  # another process of this training has just set it aside
            return 0
        except DamagedArtifactError as error:
            set_aside(error)
            return 0
        except (KeyError, ValueError) as fault:  # torch compares the groups before it changes anything
            set_aside(DamagedArtifactError(self._path, f"holds the state of another optimizer: {fault}"))
            return 0
        network.load_state_dict(state["network"])
        for name, tensor in further.items():
            tensor.copy_(state["further"][name])
        return int(state["epochs_done"])

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _readable(path: Path) -> dict[str, Any]:
    try:
        # The device that saved the state is the first worker's GPU, which this machine may lack.
        state = torch.load(BytesIO(read_sealed(path)), map_location="cpu", weights_only=True)
    except (FileNotFoundError, DamagedArtifactError):
        raise
    except Exception as fault:  # torch and pickle raise errors of many kinds
        raise DamagedArtifactError(path, f"cannot be read as a checkpoint: {type(fault).__name__}: {fault}") from fault
    if not isinstance(state, dict) or state.keys() != PARTS:
        raise DamagedArtifactError(path, f"must hold {', '.join(sorted(PARTS))}, but holds other things")
    return state


def _refuse_another(
    path: Path, state: Mapping[str, Any], network: TwoHeadNetwork, further: Mapping[str, Tensor]
) -> None:
    """Raise DamagedArtifactError unless the state has the tensors of this training and their shapes."""
    for part, expected in (("network", network.state_dict()), ("further", further)):
        faults = faults_of(state[part], expected)
        if faults:
            raise DamagedArtifactError(path, f"holds the state of another training: {part}: {'; '.join(faults[:3])}")

"""The state of a training between two epochs, on disk: whole or absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from pretrieve.artifacts.sealed_files import is_kept, read_sealed, sealing
from pretrieve.training.network import TwoHeadNetwork


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
            with sealing(self._path) as temporary, temporary.open("wb") as file:
                torch.save(state, file)

        self._writing(write)

    def restore(self, network: TwoHeadNetwork, optimizer: torch.optim.Optimizer, further: Mapping[str, Tensor]) -> int:
        """Load the state into what is given and return the epochs done; 0 where there is no whole file."""
        if not is_kept(self._path):
            return 0
        # The device that saved the state is the first worker's GPU, which this machine may lack.
        state = torch.load(BytesIO(read_sealed(self._path)), map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        for name, tensor in further.items():
            tensor.copy_(state["further"][name])
        return int(state["epochs_done"])

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

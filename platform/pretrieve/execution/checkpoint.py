"""The state of a training between two epochs, on disk: whole or absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from pretrieve.artifacts.seals import read_sealed, sealing
from pretrieve.artifacts.store import is_kept
from pretrieve.training.network import TwoHeadNetwork


class CheckpointFile:
    """One file that holds the latest epoch of one trial; see `training.loop.Checkpoint`.

    Args:
      path: the file; its folder is made when needed.
      writing: calls what writes the file; may call it again where the disk was full.
    """

    def __init__(self, path: Path, writing: Callable[[Callable[[], None]], None] = lambda write: write()) -> None:
        self._path = path
        self._writing = writing

    def save(self, epochs_done: int, network: TwoHeadNetwork, optimizer: torch.optim.Optimizer) -> None:
        """Replace the file by the state after `epochs_done` epochs."""
        state = {
            "epochs_done": epochs_done,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        self._writing(lambda: self._write(state))

    def _write(self, state: Mapping[str, Any]) -> None:
        # Through a file of Python's: torch's own does not tell a full disk from other errors.
        with sealing(self._path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)

    def restore(self, network: TwoHeadNetwork, optimizer: torch.optim.Optimizer) -> int:
        """Load the state into network and optimizer and return the epochs done; 0 where there is no whole file."""
        if not is_kept(self._path):
            return 0
        # Not to where it was saved: that is the first worker's GPU, or one that this machine has not.
        state = torch.load(BytesIO(read_sealed(self._path)), map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["epochs_done"])

    def remove(self) -> None:
        """Delete the file: the trial is finished."""
        self._path.unlink(missing_ok=True)

"""State dicts: read without running code, checked key by key, written atomically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pretrieve.artifacts.sealed_files import read_sealed, sealing
from pretrieve.errors import BackboneError

StateDict = dict[str, Tensor]

NUM_SHOWN_FAULTS = 6

VARIANCE = "running_var"

BATCH_COUNTER = "num_batches_tracked"
"""Missing in checkpoints older than torch 0.4.1. torch then starts it at zero, and no output depends on it."""


def read_weights(path: Path) -> StateDict:
    """Read a checkpoint without running any code that it might hold.

    The file is a `torch.save` of a state dict, or of a mapping that holds one under `state_dict`. Raises BackboneError
    if the file is missing, holds more than tensors, or holds several state dicts of the same network, such as the
    averaged weights of the training beside those of its last step.
    """
    return _read(path, origin=path)


def read_kept_weights(path: Path) -> StateDict:
    """Read a state dict that `write_weights` wrote; see `read_sealed` for the errors."""
    return _read(BytesIO(read_sealed(path)), origin=path)


def _read(file: Path | BytesIO, *, origin: Path) -> StateDict:
    try:
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BackboneError(
            f"backbone weights must be a readable state dict of tensors, but {origin}: {type(error).__name__}: {error}"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided
        for name, value in state.items()
    ):
        inner = [key for key, value in state.items() if isinstance(value, dict)] if isinstance(state, dict) else []
        remedy = f"; save the right part: torch.save(torch.load(PATH)[{inner[0]!r}], NEW_PATH)" if inner else ""
        keys = f" under {', '.join(map(repr, list(state)[:NUM_SHOWN_FAULTS]))}" if isinstance(state, dict) else ""
        raise BackboneError(
            f"backbone weights must be a mapping of names to tensors, but {origin} holds another thing{keys}{remedy}"
        )
    others = [name for name, value in loaded.items() if isinstance(value, dict) and value and set(value) == set(state)]
    if len(others) > 1:
        raise BackboneError(
            f"backbone weights must be one state dict, but {origin} holds several of the same network, "
            f"{', '.join(map(repr, others))}; save the one that you mean: torch.save(torch.load(PATH)[{others[-1]!r}], "
            "NEW_PATH)"
        )
    return dict(state)


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict to a sealed file, its tensors on the CPU."""
    on_cpu = {name: value.detach().cpu() for name, value in state.items()}
    # Through a Python file: torch's own writer does not distinguish a full disk from other errors.
    with sealing(path, is_durable=True) as temporary, temporary.open("wb") as file:
        torch.save(on_cpu, file)


def load_weights(network: nn.Module, state: StateDict, *, origin: str, part: str = "") -> None:
    """Copy a state dict into a network after checking every key, shape and value.

    See `faults_of` and `refuse_faults`, `refuse_not_finite`.
    """
    # The network's own state holds the versions of its layers' formats, without which some layers refuse to load.
    complete = network.state_dict()
    refuse_faults(faults_of(state, complete, part=part), origin=origin)
    refuse_not_finite(state, complete, origin=origin, part=part)
    complete.update(state)
    network.load_state_dict(complete)


def faults_of(state: StateDict, expected: Mapping[str, Tensor], *, part: str = "") -> list[str]:
    """Return a line for each key that is missing, left over or of another shape than in `expected`.

    Only the shapes of `expected` matter; `part` names the part of a backbone in the lines.
    """
    suffix = f" of the {part}" if part else ""
    missing = [name for name in expected if name not in state and not name.endswith(BATCH_COUNTER)]
    faults = [f"missing {name}{suffix}" for name in missing]
    faults += [f"left over {name}{suffix}" for name in state if name not in expected]
    faults += [
        f"{name}{suffix} has shape {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    return faults


def refuse_faults(faults: Sequence[str], *, origin: str) -> None:
    """Raise BackboneError, with the first faults and the number of the others, if there are faults."""
    if faults:
        raise BackboneError(f"the weights of {origin} must fit the network, but: {_shown(faults)}")


def refuse_not_finite(state: StateDict, fresh: Mapping[str, Tensor], *, origin: str, part: str = "") -> None:
    """Raise BackboneError if a weight or statistic is NaN or infinite once it is in the network, or cannot be right.

    A variance below 0 makes predictions NaN. Whole or complex numbers in place of real ones are not what the network
    was trained with: the scale of quantised weights is lost, or half of the others.

    A statistic of batch norm that is NaN makes all predictions NaN, though the losses of a training stay finite. Values
    that a fresh network has in the same places, such as the infinite ones of a mask, are right.

    Args:
      state: with keys and shapes of `fresh`.
      fresh: the state of the network before the weights are copied into it.
      origin: where the weights come from, for the message.
      part: the part of a backbone, for the message.
    """
    suffix, faults = f" of the {part}" if part else "", []
    for name, value in state.items():
        own = fresh[name]
        if own.is_floating_point() and not value.is_floating_point():
            faults.append(f"{name}{suffix}: {value.dtype} in place of {own.dtype}")
            continue
        # Whole numbers stay as they are. A large float64 may be infinite as float32, so what is looked at is converted.
        taken = value.to(own.dtype) if own.is_floating_point() or own.is_complex() else value
        wrong = ~taken.isfinite() | ((taken < 0) if name.endswith(VARIANCE) else False)
        if wrong.any() and (wrong := wrong & ~torch.isclose(taken, own.to(taken.device), equal_nan=True)).any():
            faults.append(f"{name}{suffix}: {int(wrong.sum())} of {wrong.numel()}")
    matrices = [value for value in state.values() if value.dim() > 1]
    if len(matrices) > 1 and not any(value.any() for value in matrices):  # a classifier alone may be fresh
        raise BackboneError(
            f"the weights of {origin}{suffix} must not all be zero, as no image then has a feature; give the trained "
            "checkpoint, or download it again"
        )
    if faults:
        raise BackboneError(
            f"the weights of {origin} must be finite numbers, and variances not negative, but these have values that "
            f"are not: {_shown(faults)}; give a checkpoint of an earlier epoch, or download it again"
        )


def _shown(faults: Sequence[str]) -> str:
    more = len(faults) - NUM_SHOWN_FAULTS
    return "; ".join(faults[:NUM_SHOWN_FAULTS]) + (f"; and {more} more" if more > 0 else "")

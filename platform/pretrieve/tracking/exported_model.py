"""The network of a registered model in other formats, for programs without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from pretrieve.artifacts.atomic_files import replacing
from pretrieve.errors import PretrieveError, UserError, in_words
from pretrieve.tracking.registered_model import RegisteredModel

INPUT, OUTPUT = "images", "class_scores"

TOLERANCE = 1e-4
"""How far the class scores of an ONNX file may be from those of torch, relative to the largest one or 1."""

NUM_COMPARED = (1, 5)
"""Images of the two batches by which they are compared."""


def export_onnx(model: RegisteredModel, path: Path) -> float:
    """Write the network, preprocessing included, as an ONNX file; return how far its class scores are from torch's.

    The input `images` is (N, R, R, 3) uint8, RGB squares as `decode_square` makes them: the shorter side resized to R
    pixels, the centre square cropped. The output `class_scores` is (N, K) float32, before the softmax. Class names,
    preprocessing and temperature are in the metadata, as JSON.

    Raises:
      UserError: the packages for ONNX are not installed, or torch cannot convert the network.
      PretrieveError: the file gives other class scores than torch; it is not kept.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch needs it
    except ModuleNotFoundError as error:
        raise UserError(
            f"an export to ONNX must have onnx, onnxscript and onnxruntime, but {error.name} is not installed; run: "
            "pip install 'pretrieve[onnx]'"
        ) from error
    program, card = model.program(), model.card
    try:
        converted = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], external_data=False, verbose=False
        )
    except Exception as error:  # of torch or onnxscript
        raise UserError(
            f"a network must be one that torch can convert to ONNX, but {card['architecture']!r} ends in "
            f"{in_words(error)}; try another version of torch or onnxscript, or export its weights to safetensors"
        ) from error
    assert converted is not None, "with dynamo, torch returns the converted program"
    converted.model.metadata_props.update(_described(card))
    with replacing(path) as temporary:
        converted.save(str(temporary), external_data=False)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        difference = _largest_difference(program, session, side=card["preprocessing"]["resize_size"])
        if not difference <= TOLERANCE:
            raise PretrieveError(
                f"an ONNX file must give the class scores of torch to {TOLERANCE:g}, but is {difference:g} away; "
                "export with another version of torch or onnxruntime"
            )
    return difference


def export_safetensors(model: RegisteredModel, path: Path) -> None:
    """Write the weights by their names in the network; class names, preprocessing and temperature are its metadata.

    Raises:
      UserError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ModuleNotFoundError as error:
        raise UserError(
            "an export to safetensors must have that package, but it is not installed; run: pip install safetensors"
        ) from error
    state = {name.removeprefix("network."): value for name, value in model.program().state_dict.items()}
    with replacing(path) as temporary:
        # Copies, because two names of one tensor are refused.
        save_file({name: value.detach().clone() for name, value in state.items()}, temporary, _described(model.card))


def _described(card: dict[str, object]) -> dict[str, str]:
    return {name: json.dumps(value, ensure_ascii=False) for name, value in card.items()}


def _largest_difference(program: torch.export.ExportedProgram, session: object, *, side: int) -> float:
    """Compare class scores on noise: fine, and in blocks of 8 pixels, which looks more like a picture."""
    network, draw = program.module(), np.random.default_rng(0)
    found = 0.0
    for number in NUM_COMPARED:
        blocks = draw.integers(0, 256, (number, -(-side // 8), -(-side // 8), 3), dtype=np.uint8)
        coarse = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :side, :side]
        for squares in (coarse, draw.integers(0, 256, coarse.shape, dtype=np.uint8)):
            with torch.inference_mode():
                expected = network(torch.from_numpy(np.ascontiguousarray(squares))).numpy()
            (scores,) = session.run([OUTPUT], {INPUT: squares})  # type: ignore[attr-defined]
            found = max(found, float(np.abs(scores - expected).max() / max(1.0, np.abs(expected).max())))
    return found

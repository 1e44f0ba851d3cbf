"""`pretrieve export`: the network of a registered model for programs without torch."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.model_argument import Method, Model, Target, find_model
from pretrieve.cli.study_argument import Storage, written_file
from pretrieve.printing import echo


class Format(str, Enum):
    """What a network can be exported to."""

    onnx = "onnx"
    safetensors = "safetensors"


def export(
    model: Model,
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    to: Annotated[Format, typer.Option("--to", help="`onnx`: the whole network; `safetensors`: its weights.")],
    target: Target = None,
    method: Method = None,
    storage: Storage = None,
) -> Answer:
    """Write the network of a registered model in another format, with class names and preprocessing as metadata.

    `pretrieve export my_study.yaml birds.onnx --to onnx`

    The input of an ONNX file is a batch of decoded images as RGB squares, uint8, any number of them. Cropping and
    normalising are part of the network. It is compared with torch before the file is written.
    """
    from pretrieve.tracking.exported_model import export_onnx, export_safetensors

    found, path = find_model(model, target, method, storage), written_file(out)
    side = found.card["preprocessing"]["resize_size"]
    if to is Format.safetensors:
        export_safetensors(found, path)
        echo(f"{path}: the weights; class names and preprocessing are its metadata")
        return {"file": path}
    difference = export_onnx(found, path)
    echo(
        f"{path}: input `images`, (N, {side}, {side}, 3) uint8: the shorter side of each image resized to {side} "
        f"pixels, the centre square cropped; output `class_scores`, (N, {len(found.card['class_names'])}); at most "
        f"{difference:.0e} away from torch"
    )
    return {"file": path, "largest_difference": difference}

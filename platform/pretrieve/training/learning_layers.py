"""Which layers learn (`training.learns`); the others keep their weights and compute as in prediction."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from pretrieve.errors import UserError
from pretrieve.training.optimizers._base import blocks_of
from pretrieve.training.settings import Learns


def fix_layers(backbone: nn.Module, learns: Learns) -> None:
    """Keep gradients from the parameters of a backbone that do not learn: their `requires_grad` becomes False.

    Blocks are those of `blocks_of`. Weights that a fixed block shares with a later one are fixed; weights outside all
    blocks, such as a class token, count with the first block.

    Raises:
      UserError: the backbone has fewer blocks.
    """
    fixed, learning = _split(backbone, learns)
    if not fixed:
        return
    kept = _parameters(learning) - _parameters(fixed)
    for parameter in backbone.parameters():
        if parameter not in kept:
            parameter.requires_grad_(False)


def fixed_blocks(backbone: nn.Module, learns: Learns) -> list[nn.Module]:
    """Return the modules whose weights do not learn: none, some blocks, or the whole backbone."""
    return _split(backbone, learns)[0]


def _split(backbone: nn.Module, learns: Learns) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the modules of a backbone that are fixed, and those that learn."""
    if isinstance(learns, str):
        return ([], [backbone]) if learns == "all" else ([backbone], [])
    blocks = blocks_of(backbone)
    if learns > len(blocks):
        raise UserError(
            f"training.learns: must be at most the number of the backbone's blocks, {len(blocks)}, but is {learns}; "
            "'all' trains the whole network"
        )
    return blocks[:-learns], blocks[-learns:]


def _parameters(modules: Iterable[nn.Module]) -> set[nn.Parameter]:
    return {parameter for module in modules for parameter in module.parameters()}

"""Which layers learn: the others keep their weights and statistics, and are in no group of the optimizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pretrieve.components import OPTIMIZERS
from pretrieve.errors import UserError
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.learning_layers import fix_layers, fixed_blocks
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, Learns, TrainingSettings

MakeWork = Callable[..., FineTuning]

# The blocks of small_resnet: the stem's convolution and its norm, and three residual blocks.
BLOCKS = ("stem.0", "stem.1", "stages.0", "stages.1", "stages.2")


@pytest.mark.parametrize(("learns", "num_fixed"), [("all", 0), ("head", 5), (1, 4), (2, 3), (5, 0)])
@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_only_the_last_blocks_and_the_heads_move(
    make_work: MakeWork, objective: str, learns: Learns, num_fixed: int
) -> None:
    work, before = make_work(objective=objective, epochs=2, learns=learns), make_work(objective=objective)
    fine_tune(work)
    fixed = tuple(f"backbone.{block}." for block in BLOCKS[:num_fixed])
    for name, value in before.network.state_dict().items():
        assert value.equal(work.network.state_dict()[name]) == name.startswith(fixed), name
    assert all(parameter.requires_grad != n.startswith(fixed) for n, parameter in work.network.named_parameters())


def test_a_head_alone_learns_from_the_features_of_prediction(make_work: MakeWork) -> None:
    work = make_work(objective="finetune", epochs=1, learns="head")
    passes: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = work.network.backbone.register_forward_hook(lambda _, given, found: passes.append((given[0], found)))
    fine_tune(work)
    hook.remove()
    steps = passes[2:]  # the first two compare the orders of memory
    assert len(steps) == work.length.num_steps
    predicting = work.network.backbone.eval()
    assert all(features.equal(predicting(images)) for images, features in steps)


@pytest.mark.parametrize("word", OPTIMIZERS.built_in())
@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize("learns", ["head", 2])
def test_what_does_not_learn_is_in_no_group(make_work: MakeWork, word: str, layer_decay: float, learns: Learns) -> None:
    network = make_work().network
    fix_layers(network.backbone, learns)
    built = OPTIMIZERS.build(word, {"layer_decay": layer_decay}).build(
        network, Hyperparameters(lr=0.1, weight_decay=0.5, head_lr_ratio=3.0), TrainingSettings()
    )
    rates = {id(each): group["lr"] for group in built.param_groups for each in group["params"]}
    assert rates.keys() == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    expected = [] if learns == "head" else [0.1 * layer_decay, 0.1] if layer_decay < 1 else [0.1]
    assert [group["lr"] for group in built.param_groups] == pytest.approx([*expected, 0.1 * 3.0])


class WithToken(nn.Module):
    """A token outside all blocks, and weights that two blocks share."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(2))
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.blocks[2].weight = self.blocks[1].weight


def test_a_token_counts_with_the_first_block_and_shared_weights_with_the_first_that_has_them() -> None:
    trunk = WithToken()
    fix_layers(trunk, 3)
    assert all(parameter.requires_grad for parameter in trunk.parameters())
    fix_layers(trunk, 1)
    assert [name for name, each in trunk.named_parameters() if each.requires_grad] == ["blocks.2.bias"]
    assert fixed_blocks(trunk, 1) == list(trunk.blocks[:2])


def test_a_pretrained_source_head_learns_with_the_heads() -> None:
    network = TwoHeadNetwork(
        nn.Sequential(nn.Linear(2, 2)),
        feature_dim=2,
        num_target_classes=2,
        num_source_classes=3,
        source_classifier=nn.Linear(2, 3),
    )
    fix_layers(network.backbone, "head")
    assert network.source_head is not None
    assert network.pretrained_parameters() == [network.source_head.weight, network.source_head.bias]


def test_more_blocks_than_there_are_is_an_error(make_work: MakeWork) -> None:
    with pytest.raises(UserError, match=r"training\.learns: must be at most .* blocks, 5, but is 6; 'all' trains"):
        fine_tune(make_work(learns=6))

from __future__ import annotations

import pytest
import torch

from pretrieve.artifacts.keys import derived_seed
from pretrieve.training.settings import TrainingSettings
from pretrieve.training.step_inputs import source_batch, target_batch


@pytest.mark.parametrize(
    ("num_images", "steps"),
    [(5994, 23), (8144, 31), (12000, 46), (3680, 14), (19850, 77), (6667, 26), (3760, 14), (1880, 7), (3030, 11)],
)
def test_a_pass_has_as_many_steps_as_the_papers_whole_batches(num_images: int, steps: int) -> None:
    assert TrainingSettings(batch_size=256).steps_per_pass(num_images) == steps


@pytest.mark.parametrize("batch_size", [8, 50])
def test_target_batches_are_the_whole_ones_of_a_permutation_of_its_own_in_each_pass(batch_size: int) -> None:
    orders = [
        torch.randperm(50, generator=torch.Generator().manual_seed(derived_seed(3, "target_epoch", number)))
        for number in range(3)
    ]
    assert not orders[0].equal(orders[1])
    expected = [batch for order in orders for batch in order.split(batch_size) if len(batch) == batch_size]
    steps = [*range(len(expected)), 0, len(expected) - 1]  # a step needs no history
    for step in steps:
        assert target_batch(50, batch_size=batch_size, seed=3, step=step).equal(expected[step])


@pytest.mark.parametrize(("num_images", "batch_size"), [(10, 4), (10, 10), (3, 8), (7, 20)])
def test_source_stream_is_whole_reshuffled_passes_end_to_end(num_images: int, batch_size: int) -> None:
    steps = 4 * num_images
    stream = torch.cat([source_batch(num_images, batch_size=batch_size, seed=0, step=step) for step in range(steps)])
    passes = stream[: len(stream) // num_images * num_images].reshape(-1, num_images)
    assert len(passes) >= 4
    for row in passes:
        assert row.sort().values.tolist() == list(range(num_images))
    assert len({tuple(row.tolist()) for row in passes}) > 1


def test_source_batch_of_a_step_needs_no_history() -> None:
    late = source_batch(10, batch_size=4, seed=0, step=37)
    for step in range(37):
        source_batch(10, batch_size=4, seed=0, step=step)
    assert source_batch(10, batch_size=4, seed=0, step=37).equal(late)

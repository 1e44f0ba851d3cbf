"""How many trials share a device, decided on a fake one: the logic alone; a real GPU is measured by the benchmark."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pretrieve.execution.measuring.packing import Packing, cpu_candidates, gpu_candidates, pack
from pretrieve.execution.measuring.speed import Speed

GB = 10**9


class FakeDevice:
    """A device whose steps a second together are told for each number side by side.

    Args:
      total: steps a second of all trials together, by their number; of others they do not fit.
      peak_gb: memory of each trial.
      memory_gb: of the device; 0 for a CPU.
    """

    def __init__(self, total: Mapping[int, float], *, peak_gb: float = 1.0, memory_gb: float = 80.0) -> None:
        self.total = total
        self.peak_gb = peak_gb
        self.memory_gb = memory_gb
        self.asked: list[int] = []

    def measure(self, number: int) -> Speed | None:
        self.asked.append(number)
        if number not in self.total:
            return None
        return Speed(
            num_side_by_side=number,
            steps_per_s=self.total[number] / number,
            scored_per_s=100.0,
            start_s=1.0,
            epoch_s=0.1,
            process_s=5.0,
            peak_bytes=int(self.peak_gb * GB),
            memory_bytes=int(self.memory_gb * GB),
        )


def packed(device: FakeDevice, candidates: list[int]) -> Packing:
    found = pack(device.measure, candidates)
    assert found is not None
    return found


def test_the_number_with_the_most_steps_together_is_taken() -> None:
    device = FakeDevice({1: 10, 2: 18, 3: 24, 4: 28, 6: 26})
    found = packed(device, [1, 2, 3, 4, 6, 8])
    assert found.num_side_by_side == 4
    assert found.gain == pytest.approx(2.8)
    assert device.asked == [1, 2, 3, 4, 6], "once more of them give less, still more are not tried"


def test_fewer_are_better_where_more_give_hardly_more() -> None:
    assert packed(FakeDevice({1: 10, 2: 10.3, 3: 10.4, 4: 10.45}), [1, 2, 3, 4]).num_side_by_side == 1


def test_what_would_not_fit_into_memory_with_a_margin_is_never_tried() -> None:
    device = FakeDevice({1: 10, 2: 20, 3: 30, 4: 40}, peak_gb=25.0, memory_gb=80.0)
    assert packed(device, [1, 2, 3, 4]).num_side_by_side == 2, "3 × 25 of 80 GB leave less than a tenth"
    assert device.asked == [1, 2]


def test_what_runs_out_of_memory_ends_the_trying() -> None:
    device = FakeDevice({1: 10, 2: 19}, memory_gb=80.0)
    assert packed(device, [1, 2, 3, 4]).num_side_by_side == 2
    assert device.asked == [1, 2, 3]


def test_where_not_even_one_fits_nothing_is_chosen() -> None:
    assert pack(FakeDevice({}).measure, [1, 2]) is None


def test_a_single_trial_is_not_held_to_the_margin() -> None:
    assert packed(FakeDevice({1: 10}, peak_gb=79.0), [1, 2]).num_side_by_side == 1


def test_on_a_cpu_memory_is_not_asked_for() -> None:
    device = FakeDevice({1: 10, 2: 14}, memory_gb=0.0)
    assert packed(device, [1, 2]).num_side_by_side == 2


def test_candidates_leave_each_trial_its_cpus() -> None:
    assert gpu_candidates(16, 1) == [1, 2, 3, 4, 6, 8]
    assert gpu_candidates(16, 4) == [1, 2, 3, 4]
    assert gpu_candidates(1, 2) == [1]
    assert cpu_candidates(8) == [1, 2, 4, 8]

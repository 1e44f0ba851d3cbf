"""What is measured after each epoch of a trial: callbacks that add their figures to the epoch's report."""

from __future__ import annotations

import torch

from pretrieve import metrics
from pretrieve.training.gradient_gap import GapProbe
from pretrieve.training.loop import EpochReport


def add_losses(report: EpochReport) -> None:
    """Add the mean losses."""
    report.metrics[metrics.LOSS_TARGET] = report.loss_target
    if report.loss_source is not None:
        report.metrics[metrics.LOSS_SOURCE] = report.loss_source


def add_throughput(report: EpochReport) -> None:
    """Add the images of both streams per second, and the share of the time in each part of a step, in [0, 1]."""
    report.metrics[metrics.IMAGES_PER_S] = report.num_images / report.elapsed_s
    report.metrics[metrics.INPUT_WAIT_FRACTION] = report.part_s["data"] / report.elapsed_s
    report.metrics[metrics.FORWARD_FRACTION] = report.part_s["forward"] / report.elapsed_s
    report.metrics[metrics.BACKWARD_FRACTION] = report.part_s["backward"] / report.elapsed_s


def add_gpu_memory(report: EpochReport) -> None:
    """Add the most that tensors took on the GPU since its peak was reset, in 10^9 bytes; nothing without a GPU."""
    if torch.cuda.is_available():
        report.metrics[metrics.GPU_MEMORY_GB] = torch.cuda.max_memory_allocated() / 1e9


def add_gradient_gap(probe: GapProbe, report: EpochReport) -> None:
    """Measure δ² of Theorem 1 at the weights of the epoch's end, and add it with its parts."""
    gap = probe.measure()
    report.metrics[metrics.GRADIENT_GAP] = gap.delta_squared
    report.metrics[metrics.GRADIENT_GAP_COSINE] = gap.cosine
    report.metrics[metrics.TARGET_GRADIENT_NORM] = gap.target_norm_squared
    report.metrics[metrics.SOURCE_GRADIENT_NORM] = gap.source_norm_squared

"""The names of the metrics of a trial, a cell and a study in MLflow."""

from __future__ import annotations

EPOCH = "epoch"
"""Number of epochs done, in the reports of a running trial."""

VAL_SCORE = "val/score"
TEST_SCORE = "test/score"
FOLD_SCORE = "fold/score"
"""Of the images of one fold alone; its step is the fold."""

TEMPERATURE = "fold/temperature"
"""Of a trial that is scored by folds, fitted to all of them; divides the class scores of its refits."""

LOSS_TARGET = "train/loss_target"
LOSS_SOURCE = "train/loss_source"
IMAGES_PER_S = "throughput/images_per_s"
INPUT_WAIT_FRACTION = "throughput/input_wait_fraction"
FORWARD_FRACTION = "throughput/forward_fraction"
BACKWARD_FRACTION = "throughput/backward_fraction"
GPU_MEMORY_GB = "throughput/gpu_memory_gb"
NUM_PARTS = "train/num_parts"
GRADIENT_GAP = "theory/delta_squared"
GRADIENT_GAP_COSINE = "theory/gradient_cosine"
TARGET_GRADIENT_NORM = "theory/target_gradient_norm_squared"
SOURCE_GRADIENT_NORM = "theory/source_gradient_norm_squared"
SECONDS = "cost/seconds"
STOPPED_EPOCH = "search/stopped_epoch"
BEST_VAL_SCORE = "best/val_score"
TEST_MEAN = "test/score_mean"
TEST_CI95 = "test/score_ci95"
STAGE_SECONDS_PREFIX = "cost/stage_seconds/"

SPLIT_PREFIX = {"trial": "val/", "refit": "test/"}
"""For each kind of trial what stands before the name of a metric that is kept beside the score."""

RESERVED_NAMES = frozenset({"score", "score_mean", "score_ci95"})
"""What stands behind these prefixes in the names above, so that no metric may have it as its name."""

"""The built-in study: the paper's Table 1 in miniature, on images made from what the installation brings along."""

from pathlib import Path

STUDY_FILE = Path(__file__).with_name("study.yaml")
"""The demo is a study file like a user's; it is also the example to start from."""

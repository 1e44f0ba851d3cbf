"""Crops, flips, RandAugment, Cutout and normalisation in batches, on the device that trains."""

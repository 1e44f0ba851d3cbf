"""The paper's experiments, ablations, bounds and published numbers. Only the public API of the packages is used.

- `catalogue` has the ten tables and figures, each as a series of studies; `run_experiment` runs one and compares its
  numbers with the published ones (`pretrieve experiments`, `pretrieve reproduce`).
- `recall_ablations` measures the selection alone, from centroids or features.
- `generalization_bounds` has the bounds of Lemma 2 and Theorem 2.
"""

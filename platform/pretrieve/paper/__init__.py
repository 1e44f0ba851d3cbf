"""The paper's experiments, ablations, bounds and published numbers, on the public API of the three packages alone.

- `catalogue` has the ten tables and figures, each as a series of studies; `reproduction` runs one and puts our numbers
  beside the published ones (`pretrieve experiments`, `pretrieve reproduce`).
- `cost_ablations` and `cluster_ablation` measure the selection alone, from centroids or features.
- `generalization_bounds` has the bounds of Lemma 2 and Theorem 2.
"""

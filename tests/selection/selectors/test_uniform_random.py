import numpy as np

from pretrieve_selection import SelectionSettings
from pretrieve_selection.selectors.uniform_random import RandomSelector


def _groups(rng, source=None, top_k=3):
    centroids = np.ones((10, 2)) if source is None else source
    settings = SelectionSettings()
    return RandomSelector().select(centroids, np.ones((1, 2)), top_k=top_k, settings=settings, rng=rng).groups


def test_every_group_is_drawn_equally_often():
    rng = np.random.default_rng(1)
    drawn = np.bincount([group for _ in range(2000) for group in _groups(rng)], minlength=10)
    # 600 times each; the standard deviation is √(2000 · 0.3 · 0.7) ≈ 20.5.
    assert np.abs(drawn - 600).max() < 4 * 20.5


def test_centroids_do_not_matter(rng):
    source = rng.normal(size=(10, 2))
    assert _groups(np.random.default_rng(5), source) == _groups(np.random.default_rng(5))


def test_another_seed_draws_other_groups():
    assert len({_groups(np.random.default_rng(seed)) for seed in range(5)}) > 1

import numpy as np
import pytest

from pretrieve.audit.windows import WHOLE, averaging_matrices, window_grid, window_matrices


def test_grid_begins_with_the_whole_image_and_has_a_window_near_any_other(rng):
    windows = np.array(window_grid(0.8, 0.05))
    assert tuple(windows[0]) == tuple(WHOLE)
    assert (windows[:, 1:] + windows[:, :1] <= 1 + 1e-9).all()
    for _ in range(50):
        side = rng.uniform(0.8, 1)
        window = np.array([side, *rng.uniform(0, 1 - side, 2)])
        assert np.abs(windows - window).max(axis=1).min() <= 0.05


def test_grid_without_crops_is_the_whole_image():
    assert window_grid(1.0, 0.05) == (WHOLE,)


def test_cells_are_the_means_of_their_pixels(rng):
    image = rng.random((8, 8)).astype(np.float32)
    rows, columns = window_matrices(8, WHOLE, 4)
    np.testing.assert_allclose(rows @ image @ columns.T, image.reshape(4, 2, 4, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_pixels_covered_in_part_count_in_part():
    (matrix,) = averaging_matrices(4, np.array([0.125]), np.array([0.75]), 2)
    np.testing.assert_allclose(matrix, [[1 / 3, 2 / 3, 0, 0], [0, 0, 2 / 3, 1 / 3]], rtol=1e-6)


@pytest.mark.parametrize("num_cells", [3, 16, 100])
def test_a_constant_stays_what_it_is(num_cells):
    matrices = averaging_matrices(64, np.array([0.0, 0.1, 0.2]), np.array([1.0, 0.9, 0.8]), num_cells)
    np.testing.assert_allclose(matrices.sum(axis=2), 1, rtol=1e-5)

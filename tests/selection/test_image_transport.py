"""Blocks give what the dense solver gives: to rounding in float64, to the rounding of costs in float32."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import (
    COSTS,
    SelectionInputError,
    SelectionSettings,
    image_kernel,
    solve_image_transport,
    solve_unbalanced_transport,
)

COST_SCALES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
# Twenty units in the last place of a float32 distance of one, and of the square root of a rounded square.
FLOAT32_DISTANCE = {"cosine": 1.2e-6, "l2": 2e-5}


def _features(rng, num_images, *, dimension=24, num_clusters=6):
    centres = np.random.default_rng(7).normal(size=(num_clusters, dimension))
    return centres[rng.integers(0, num_clusters, num_images)] + rng.normal(size=(num_images, dimension))


def _dense(source, target, settings):
    cost = COSTS[settings.cost](source, target, cost_scale=settings.cost_scale)
    return solve_unbalanced_transport(cost, settings=settings)


@pytest.mark.parametrize("cost", sorted(COSTS))
@pytest.mark.parametrize("cost_scale", COST_SCALES)
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_float64_features_give_the_answer_of_the_dense_solver(rng, cost, cost_scale, kind):
    source, target = _features(rng, 230), _features(rng, 41)
    settings = SelectionSettings(cost=cost, cost_scale=cost_scale)
    transport = solve_image_transport(kind(source), kind(target), settings=settings, block_size=33)
    expected = _dense(source, target, settings)
    assert type(transport.log_source_marginal) is type(kind(source))
    assert transport.converged
    np.testing.assert_allclose(
        np.asarray(transport.log_source_marginal), expected.log_source_marginal, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("cost", sorted(COSTS))
@pytest.mark.parametrize("cost_scale", COST_SCALES)
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_float32_features_cost_no_more_than_the_rounding_of_a_cost(rng, cost, cost_scale, kind):
    source = _features(rng, 230).astype(np.float32)
    target = _features(rng, 41).astype(np.float32)
    settings = SelectionSettings(cost=cost, cost_scale=cost_scale)
    transport = solve_image_transport(kind(source), kind(target), settings=settings, block_size=100)
    error = np.abs(np.asarray(transport.log_source_marginal) - _dense(source, target, settings).log_source_marginal)
    assert transport.converged
    assert error.max() <= FLOAT32_DISTANCE[cost] / cost_scale + 3e-6


@pytest.mark.parametrize("block_size", [1, 7, 64, 230, 1000, None])
def test_block_size_changes_rounding_alone(rng, block_size):
    source, target = _features(rng, 230), _features(rng, 19)
    transport = solve_image_transport(source, target, block_size=block_size)
    expected = _dense(source, target, SelectionSettings())
    np.testing.assert_allclose(transport.log_source_marginal, expected.log_source_marginal, rtol=0, atol=1e-10)


def test_number_of_threads_changes_no_bit_where_blocks_run_side_by_side(rng):
    source, target = _features(rng, 2300).astype(np.float32), _features(rng, 1900).astype(np.float32)
    two, five = (solve_image_transport(source, target, num_threads=number) for number in (2, 5))
    np.testing.assert_array_equal(five.log_source_marginal, two.log_source_marginal)
    assert five.iterations == two.iterations


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_blocks_side_by_side_give_what_blocks_one_by_one_give(rng, kind):
    source, target = kind(_features(rng, 2300)), kind(_features(rng, 190))
    alone = solve_image_transport(source, target, block_size=100)
    together = solve_image_transport(source, target, block_size=100, num_threads=3)
    np.testing.assert_allclose(together.log_source_marginal, alone.log_source_marginal, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_subnormal_numbers_of_the_caller_are_not_flushed_to_zero(rng, kind):
    smallest = torch.full((8,), np.finfo(np.float32).smallest_subnormal)
    solve_image_transport(kind(_features(rng, 5)), kind(_features(rng, 3)))
    assert ((smallest * 1.0) > 0).all()


def test_no_thread_at_all_is_refused(rng):
    with pytest.raises(SelectionInputError, match="num_threads must be at least 1, but is 0"):
        solve_image_transport(_features(rng, 3), _features(rng, 2), num_threads=0)


def test_more_terms_than_one_float32_sum_takes(rng):
    source = _features(rng, 2500, dimension=4).astype(np.float32)
    target = _features(rng, 1100, dimension=4).astype(np.float32)
    settings = SelectionSettings(cost_scale=0.1)
    transport = solve_image_transport(source, target, settings=settings, block_size=2400)
    expected = _dense(source, target, settings)
    np.testing.assert_allclose(transport.log_source_marginal, expected.log_source_marginal, rtol=0, atol=5e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_image_against_one_has_a_closed_form(dtype):
    transport = solve_image_transport(np.array([[3.0, 4.0]], dtype), np.array([[1.0, 0.0]], dtype))
    # log p = −C / (ε + τ₁ + τ₂), see the dense solver.
    assert transport.log_source_marginal[0] == pytest.approx(-(1 - 0.6) / 0.01 / 102, abs=1e-5)


def test_half_precision_tensors_are_computed_with_in_float32(rng):
    source = torch.tensor(_features(rng, 50)).bfloat16().requires_grad_()
    target = torch.tensor(_features(rng, 9)).bfloat16()
    transport = solve_image_transport(source, target)
    expected = _dense(source.detach().double().numpy(), target.double().numpy(), SelectionSettings())
    assert not transport.log_source_marginal.requires_grad
    np.testing.assert_allclose(transport.log_source_marginal.numpy(), expected.log_source_marginal, rtol=0, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_gpu_gives_the_same_answer(rng):
    source, target = _features(rng, 230), _features(rng, 41)
    transport = solve_image_transport(torch.tensor(source, device="cuda"), torch.tensor(target))
    expected = _dense(source, target, SelectionSettings())
    assert transport.log_source_marginal.is_cuda
    np.testing.assert_allclose(
        transport.log_source_marginal.cpu().numpy(), expected.log_source_marginal, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_target_far_from_every_source_image_keeps_its_share(dtype):
    # Seen from the first image, whose mass is by far the largest, the other columns underflow.
    angles = np.array([0.0, 1.5, 1.6, 3.0])
    source = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    target = np.concatenate([np.repeat(source[:1], 30, axis=0), [[0.0, 1.0], [-1.0, 0.0]]]).astype(dtype)
    settings = SelectionSettings(cost_scale=1e-3)
    transport = solve_image_transport(source, target, settings=settings, block_size=2)
    expected = _dense(source, target, settings)
    np.testing.assert_allclose(transport.log_source_marginal, expected.log_source_marginal, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(np.argsort(-transport.log_source_marginal), np.argsort(-expected.log_source_marginal))


problems = st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(COST_SCALES))


def _random_problem(drawn):
    num_source, num_target, seed, cost_scale = drawn
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_source, 3)), rng.normal(size=(num_target, 3))
    return *features, SelectionSettings(cost_scale=cost_scale), rng


@given(problems)
def test_permuting_images_permutes_their_mass(drawn):
    source, target, settings, rng = _random_problem(drawn)
    order = rng.permutation(len(source))
    first = solve_image_transport(source, target, settings=settings, block_size=11)
    second = solve_image_transport(source[order], rng.permutation(target), settings=settings, block_size=11)
    np.testing.assert_allclose(second.log_source_marginal, first.log_source_marginal[order], rtol=1e-11, atol=1e-9)


@given(problems, st.floats(0.1, 10.0))
def test_scaling_cost_and_all_weights_together_changes_nothing(drawn, factor):
    source, target, settings, _ = _random_problem(drawn)
    scaled = SelectionSettings(
        cost_scale=settings.cost_scale / factor,
        entropy_weight=factor,
        source_penalty=factor,
        target_penalty=100 * factor,
    )
    first = solve_image_transport(source, target, settings=settings)
    second = solve_image_transport(source, target, settings=scaled)
    np.testing.assert_allclose(second.log_source_marginal, first.log_source_marginal, rtol=1e-9, atol=1e-9)


@given(problems)
def test_length_of_features_does_not_matter_to_the_cosine(drawn):
    source, target, settings, rng = _random_problem(drawn)
    first = solve_image_transport(source, target, settings=settings)
    second = solve_image_transport(source * rng.uniform(0.01, 100, (len(source), 1)), target, settings=settings)
    np.testing.assert_allclose(second.log_source_marginal, first.log_source_marginal, rtol=1e-9, atol=1e-9)


def test_iteration_cut_short_is_marked(rng):
    settings = SelectionSettings(max_iterations=2)
    transport = solve_image_transport(_features(rng, 20), _features(rng, 5), settings=settings)
    assert (transport.iterations, transport.converged) == (2, False)
    assert np.isfinite(transport.log_source_marginal).all()


def test_looser_tolerance_ends_sooner(rng):
    source, target = _features(rng, 50), _features(rng, 5)
    strict = solve_image_transport(source, target)
    loose = solve_image_transport(source, target, settings=SelectionSettings(tolerance=1e-3))
    assert loose.iterations < strict.iterations
    assert loose.converged
    assert np.abs(loose.log_source_marginal - strict.log_source_marginal).max() < 2e-3


def test_memory_beside_the_features_is_that_of_a_block(rng):
    source, target = _features(rng, 6000).astype(np.float32), _features(rng, 500).astype(np.float32)
    tracemalloc.start()
    solve_image_transport(source, target, block_size=100, settings=SelectionSettings(max_iterations=2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < source.shape[0] * target.shape[0] * 4 / 2


def test_block_is_chosen_to_hold_as_many_numbers_whatever_the_target():
    settings = SelectionSettings()
    few = image_kernel.ImageKernel(np.ones((2 * 10**5, 8)), np.ones((24, 8)), settings, block_size=None)
    many = image_kernel.ImageKernel(np.ones((2 * 10**5, 8)), np.ones((1016, 8)), settings, block_size=None)
    assert next(few.blocks()).stop == 32 * next(many.blocks()).stop


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["source", "target"])
def test_image_that_is_not_finite_is_an_error_naming_the_row(kind, value, side):
    features = {"source": np.ones((5, 2)), "target": np.ones((5, 2))}
    features[side][3, 1] = value
    with pytest.raises(SelectionInputError, match=f"every image must be finite .* row 3 of the {side}"):
        solve_image_transport(kind(features["source"]), kind(features["target"]))


def test_zero_image_is_an_error_for_the_cosine_alone():
    source, target = np.ones((3, 2), np.float32), np.ones((2, 2), np.float32)
    source[2] = 0.0
    with pytest.raises(SelectionInputError, match=r"zero vector to have a cosine, but 1 is not: row 2 of the source"):
        solve_image_transport(source, target)
    assert solve_image_transport(source, target, settings=SelectionSettings(cost="l2")).converged


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.ones(3), np.ones((1, 3)), r"those of the source are float64 of shape \(3,\)"),
        (np.ones((2, 3)), np.ones((0, 3)), r"those of the target are float64 of shape \(0, 3\)"),
        (np.ones((2, 3), int), np.ones((1, 3)), "those of the source are int64"),
        (np.ones((2, 3)), np.ones((1, 4)), "the source has 3 and the target 4"),
        (np.ones((2, 3)), torch.ones(1, 3, dtype=torch.int32), "those of the target are torch.int32"),
    ],
)
def test_features_must_be_two_matrices_of_one_width(source, target, message):
    with pytest.raises(SelectionInputError, match=message):
        solve_image_transport(source, target)


def test_block_without_rows_is_an_error():
    with pytest.raises(SelectionInputError, match="block_size must be at least 1, but is 0"):
        solve_image_transport(np.ones((2, 2)), np.ones((2, 2)), block_size=0)


def test_cost_scale_beyond_float32_is_an_error():
    settings = SelectionSettings(cost="l2", cost_scale=1e-30)
    with pytest.raises(SelectionInputError, match="use a larger cost_scale"):
        solve_image_transport(np.eye(2, dtype=np.float32), np.ones((1, 2), np.float32), settings=settings)

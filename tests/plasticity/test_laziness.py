import jax
import numpy as np
import pytest

import plasticity as pl
from plasticity.dynamics.laziness import (
    effective_rank,
    kernel_alignment,
    output_alignment,
    representation_alignment,
    tangent_kernel,
)
from plasticity.dynamics.portrait import unperturbed_trials

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def small():
    task = pl.make_task("delayed_association", dt=10.0, cue=30.0, delay=40.0, response=40.0)
    learner = pl.Learner(dynamics=pl.Dynamics(dt=10.0))
    return pl.random_network(jax.random.key(1), 7, task.n_inputs, gain=1.5), task, learner


def test_the_tangent_kernel_is_that_of_differences(small):
    network, task, learner = small
    window = np.asarray(task.response)

    def mean_output(W):
        trials = unperturbed_trials(network._replace(W=W), task, learner, seed=3, repeats=2)
        return trials.outputs[:, window].mean(axis=1)

    W, size = np.asarray(network.W, float), 1e-6
    columns = []
    for place in np.ndindex(W.shape):
        up, down = W.copy(), W.copy()
        up[place] += size
        down[place] -= size
        columns.append((mean_output(up) - mean_output(down)) / (2 * size))
    rows = np.array(columns).T
    kernel = tangent_kernel(network, task, learner, seed=3, repeats=2)
    assert kernel.shape == (4, 4)
    # Differences in float64 at this size: some 1e-9 of a gradient.
    np.testing.assert_allclose(kernel, rows @ rows.T, rtol=1e-6)
    other = tangent_kernel(network._replace(W=1.3 * W), task, learner, seed=3, repeats=2)
    assert kernel_alignment(kernel, kernel) == pytest.approx(1.0)
    assert kernel_alignment(kernel, other) < 1 - 1e-6


def test_representation_alignment_is_one_up_to_rotation_and_scale():
    states = RNG.normal(size=(30, 8))
    rotation = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    assert representation_alignment(states, 3 * states @ rotation) == pytest.approx(1.0)
    other = RNG.normal(size=(30, 8))
    assert representation_alignment(states, other) < 0.6
    # A shear is no rotation; and it is not centred: an offset that both share makes them alike.
    assert representation_alignment(states, states * [9, *[1] * 7]) < 0.95
    assert representation_alignment(states + 5, other + 5) > 0.9


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_effective_rank_of_equal_singular_values_is_their_number(rank):
    left, right = (np.linalg.qr(RNG.normal(size=(10, 10)))[0] for _ in range(2))
    change = left[:, :rank] @ right[:rank]
    assert effective_rank(change) == pytest.approx(rank)
    assert effective_rank(7 * change) == pytest.approx(rank)
    mixed = left[:, :2] @ np.diag([1.0, 0.1]) @ right[:2]
    assert 1 < effective_rank(mixed) < 2


def test_an_output_is_aligned_with_activity_along_the_readout():
    w = RNG.normal(size=50)
    along = np.outer(RNG.normal(size=20), w) + 4
    assert output_alignment(w, along) == pytest.approx(1.0)
    across = RNG.normal(size=(20, 50))
    across -= np.outer(across @ w, w) / (w @ w)
    assert output_alignment(w, across) == pytest.approx(0.0, abs=1e-12)
    at_random = [output_alignment(w, RNG.normal(size=(200, 50))) for _ in range(20)]
    assert np.mean(at_random) == pytest.approx(50**-0.5, rel=0.1)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="as many rows in both"):
        representation_alignment(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="symmetric"):
        kernel_alignment(np.arange(4.0).reshape(2, 2), np.eye(2))
    with pytest.raises(ValueError, match="kernels of one size"):
        kernel_alignment(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="other than zero"):
        kernel_alignment(np.zeros((2, 2)), np.eye(2))
    with pytest.raises(ValueError, match="a change other than zero"):
        effective_rank(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="activity that varies"):
        output_alignment(np.ones(3), np.ones((4, 3)))

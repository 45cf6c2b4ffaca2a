import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from plasticity.model.exploration import Kicks, draw_kicks


def _draws(key, exploration, dt, n_steps, n_units, n=400):
    draw = jax.vmap(lambda k: draw_kicks(k, exploration, dt, n_steps, n_units))
    return np.asarray(draw(jax.random.split(key, n)))


@pytest.mark.parametrize("p", [0.003, 0.2, 0.7])
def test_kicks_are_independent_bernoulli_draws(key, p):
    exploration = Kicks(rate=1000 * p, amplitude=0.4)
    hit = _draws(key, exploration, 1.0, 20, 10) != 0
    # Binomial counts: per trial over cells, per cell over trials; 1e-4 is the level of each test.
    total = stats.binomtest(int(hit.sum()), hit.size, p).pvalue
    assert total > 1e-4
    counts = hit.reshape(400, -1).sum(axis=1)
    dispersion = counts.var(ddof=1) / (200 * p * (1 - p))
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 399) / 399
    assert low < dispersion < high
    neighbours = np.corrcoef(hit[:, 1:, :].ravel(), hit[:, :-1, :].ravel())[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(hit[:, 1:, :].size)


def test_amplitudes_are_uniform(key):
    kicks = _draws(key, Kicks(rate=300.0, amplitude=0.4), 1.0, 20, 10)
    values = kicks[kicks != 0]
    assert stats.kstest(values, stats.uniform(-0.4, 0.8).cdf).pvalue > 1e-4


def test_every_cell_is_kicked_when_the_probability_is_one(key):
    assert (_draws(key, Kicks(rate=1000.0), 1.0, 5, 4, n=50) != 0).all()


def test_nothing_is_kicked_before_the_onset_or_without_a_rate(key):
    kicks = _draws(key, Kicks(rate=500.0, onset=4.0), 1.0, 10, 6)
    assert (kicks[:, :4] == 0).all()
    assert (kicks[:, 4] != 0).any()
    assert not _draws(key, Kicks(rate=0.0), 1.0, 10, 6).any()
    assert not _draws(key, Kicks(onset=50.0), 1.0, 10, 6).any()


def test_kicks_are_the_same_in_both_precisions(key):
    exploration = Kicks(rate=50.0)
    double = draw_kicks(key, exploration, 10.0, 30, 8)
    with jax.enable_x64(False):
        single = draw_kicks(key, exploration, 10.0, 30, 8)
    assert (double.dtype, single.dtype) == (jnp.float64, jnp.float32)
    # 24 random bits and the half make 25, one more than float32 holds.
    np.testing.assert_allclose(double, single, atol=2.0**-23)
    np.testing.assert_array_equal(double == 0, single == 0)


def test_bad_exploration_is_named():
    with pytest.raises(ValueError, match="rate ≥ 0"):
        Kicks(rate=-1.0)
    with pytest.raises(ValueError, match=r"kick rate · dt ≤ 1; got 200.0 Hz · 10.0 ms = 2.0"):
        Kicks(rate=200.0).probability(10.0)

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from companion import toys

from plasticity.meta.estimators import Pathwise


def choices_by_hand(theta, n_trials=7, rate=1.0):
    """Expected mean reward of the choices by plain enumeration."""
    expected = 0.0
    for actions in product((0, 1), repeat=n_trials):
        w, baseline, probability = 0.0, 0.0, 1.0
        for a in actions:
            p = 1 / (1 + np.exp(-w))
            probability *= p if a else 1 - p
            trace = sum(theta[k, m] * p**k * (a - p) ** m for k, m in np.ndindex(2, 2))
            w += rate * (a - baseline) * trace
            baseline += 0.25 * (a - baseline)
        expected += probability * sum(actions) / n_trials
    return expected


def unit_by_hand(theta, w, noise):
    """Mean reward of the unit of `companion.toys.diffusion` in plain Python."""
    step, gain, decay = 10 / 30, 1 - np.exp(-10 / 20), 1 - 10 / 1000
    baseline, rewards = [-1.0, -1.0], []
    for h, xi in enumerate(noise):
        cue = h % 2
        x = filtered = trace = error = 0.0
        for t in range(10):
            r = np.tanh(x)
            drive = (1.0, -0.6)[cue] if t < 3 else 0.0
            x += step * (-x + w * r + drive)
            delta = filtered - x
            filtered += gain * (x - filtered)
            term = sum(theta[k, m] * r**k * delta**m for k, m in np.ndindex(2, 2))
            trace = decay * trace + 10 * term
            if t >= 5:
                error += abs(0.9 * np.tanh(x) - (1, -1)[cue]) / 5
        rewards.append(-error)
        w += 0.05 * trace * (-error - baseline[cue]) + xi
        baseline[cue] += 0.25 * (-error - baseline[cue])
    return np.mean(rewards)


def slopes(function, theta):
    """Central differences: at a step of 1e-5 both errors are near 1e-10."""
    quotients = np.zeros_like(theta)
    for place in np.ndindex(theta.shape):
        move = np.zeros_like(theta)
        move[place] = 1e-5
        quotients[place] = (function(theta + move) - function(theta - move)) / 2e-5
    return quotients


def test_enumeration_is_that_of_a_plain_loop():
    theta = toys.choice_coefficients()
    given = np.asarray(theta)
    assert abs(toys.choice_return(theta) - choices_by_hand(given)) < 1e-13
    exact = jax.grad(toys.choice_return)(theta)
    np.testing.assert_allclose(exact, slopes(choices_by_hand, given), rtol=1e-7)


def test_probabilities_of_all_courses_sum_to_one():
    logs = jax.vmap(lambda u: toys.choice_course(toys.choice_coefficients(), u)[0])
    sequences = jnp.asarray(list(product((0.0, 1.0), repeat=7)))
    assert abs(jnp.exp(logs(sequences)).sum() - 1) < 1e-13


@pytest.fixture(scope="module")
def choices():
    return toys.compare_choices(30_000)


@pytest.fixture(scope="module")
def diffusion():
    return toys.compare_diffusion(0.3, 30_000)


def test_score_functions_of_the_choices_are_exact(choices):
    for name in ("score function", "no baseline", "all rewards"):
        assert abs(choices[name].bias) < 1e-12, name
    # The controls: the two silent mistakes.
    assert choices["immediate reward only"].bias < -0.1
    assert choices["tangents not carried"].bias < -0.5


def test_reset_tangents_are_exact_for_diffusing_weights(diffusion):
    for name in ("U reset", "U reset, no baseline"):
        assert abs(diffusion[name].bias) < 1e-4, name  # the quadrature's
    assert diffusion["U carried"].bias > 0.1
    assert diffusion["immediate reward only"].bias < -0.3


@pytest.mark.parametrize("toy", ["choices", "diffusion"])
def test_samples_agree_with_expectations(toy, request):
    # Within 4.5 standard errors: a correct sampler fails with one seed in 150,000.
    table = request.getfixturevalue(toy)
    names = [name for name in table if not name.startswith("pathwise")]
    for name in names:
        compared = table[name]
        assert abs(compared.sampled - compared.bias) < 4.5 * compared.error, name
    biased = [name for name in names if abs(table[name].bias) > 0.01]
    assert len(biased) == 2
    for name in biased:
        assert abs(table[name].sampled) > 9 * table[name].error, name


def test_to_go_and_baseline_lower_the_variance(choices, diffusion):
    deviations = [choices[n].deviation for n in ("score function", "all rewards", "no baseline")]
    assert 1.2 * deviations[0] < deviations[1] < deviations[2] / 1.2
    assert 1.5 * diffusion["U reset"].deviation < diffusion["U reset, no baseline"].deviation


def test_a_baseline_of_the_others_keeps_the_mean_and_one_with_itself_halves_it():
    theta = toys.choice_coefficients()
    uniforms = jnp.asarray(list(product((0.0, 1.0), repeat=4)))
    first, second = (a.ravel() for a in jnp.meshgrid(jnp.arange(16), jnp.arange(16)))
    pairs = jnp.stack([uniforms[first], uniforms[second]], axis=1)
    logs, scores, rewards = jax.vmap(jax.vmap(partial(toys.choice_course, theta)))(pairs)
    probability, exact = jnp.exp(logs.sum(axis=1)), jax.grad(toys.choice_return)(theta, 4)

    others = jax.vmap(lambda u: toys.choice_estimates("score function", theta, u))(pairs)
    expected = jnp.tensordot(probability, others.mean(axis=1), 1)
    np.testing.assert_allclose(expected, exact, rtol=1e-11)

    centred = rewards - rewards.mean(axis=1, keepdims=True)
    to_go = jnp.cumsum(centred[..., ::-1], axis=-1)[..., ::-1] / 4
    itself = jnp.einsum("b,bch,bchkl->kl", probability, to_go, scores) / 2
    np.testing.assert_allclose(itself, exact / 2, rtol=1e-11)


def test_quadrature_is_that_of_a_plain_loop():
    """Of another number of nodes: both have converged."""
    toy, sigma, n = toys.diffusion(), 0.1, 12
    theta = np.asarray(toy.rule.coefficients)
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    grid = np.array(list(np.ndindex(n, n)))

    def expected(theta):
        returns = [unit_by_hand(theta, 0.8, sigma * np.array([*nodes[pair], 0])) for pair in grid]
        return np.prod(weights[grid], axis=1) @ returns / np.sum(weights) ** 2

    exact = toys.diffusion_gradient(toy, sigma)
    np.testing.assert_allclose(exact, slopes(expected, theta), rtol=1e-6, atol=1e-8)


def test_the_gap_to_the_learner_without_noise_closes():
    toy = toys.diffusion()
    keys = jax.random.split(jax.random.key(0), 2)
    networks = jax.tree.map(lambda a: jnp.stack([a, a]), toy.network)
    pathwise = Pathwise()(keys, networks, *toy[1:]).gradients[0]
    gaps = [np.abs(toys.diffusion_gradient(toy, s) - pathwise).max() for s in (0.04, 0.02, 1e-4)]
    assert gaps[0] > 1e-3 and gaps[2] < 1e-7
    assert 3.5 < gaps[0] / gaps[1] < 4.5  # of second order in σ

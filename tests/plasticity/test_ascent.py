import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.meta.ascent import Ascent, mean_of_cut, norms_of

FREE = Ascent(step_size=1.0, final_step_size=0.5, n_steps=4, momentum=0.8, sparsity=0.0)


def course_by_hand(psi, gradients, ascent):
    """ψ after each step, one coordinate at a time."""
    momentum, course = np.zeros_like(psi), []
    for t, gradient in enumerate(gradients):
        momentum = ascent.momentum * momentum + gradient
        cosine = 0.5 * (1 + np.cos(np.pi * min(t / ascent.n_steps, 1.0)))
        share = (1 - ascent.final_step_size) * cosine + ascent.final_step_size
        length = sum(m**2 for m in momentum.ravel()) ** 0.5
        psi, pull = psi.copy(), share * ascent.sparsity
        for at in np.ndindex(psi.shape):
            moved = psi[at] + share * ascent.step_size * momentum[at] / length
            psi[at] = moved - pull if moved > pull else moved + pull if moved < -pull else 0.0
        course.append(psi)
    return course


def course_of(psi, gradients, ascent):
    memory, course = ascent.start(psi.shape), []
    for number, gradient in enumerate(gradients):
        psi, memory = ascent.step(psi, gradient, memory, number)
        course.append(psi)
    return course


def sample(n_steps, size=1.0):
    draw = np.random.default_rng(0)
    return draw.normal(size=(3, 3)), size * draw.normal(size=(n_steps, 3, 3))


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("size", [1.0, 1e-12])
def test_steps_are_those_of_a_plain_loop(size, double):
    ascent = Ascent(0.3, 0.2, 6, momentum=0.7, sparsity=0.05)
    psi, gradients = sample(8, size)
    with jax.enable_x64(double):
        found = course_of(psi, gradients, ascent)
    # The same few operations in float64, also where lifetimes are computed in float32.
    expected = course_by_hand(psi, gradients, ascent)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert all(psi.dtype == np.float64 for psi in found)
    for change in ({"momentum": 0.6}, {"sparsity": 0.04}, {"n_steps": 7}, {"final_step_size": 0.3}):
        other = course_by_hand(psi, gradients, ascent._replace(**change))
        assert np.abs(np.subtract(found, other)).max() > 1e-3, change


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(
        st.sampled_from([0.0, 1e-320, 1e-200, 1e-9, 1.0, 1e150]), min_size=1, max_size=4
    ),
    step_size=st.floats(1e-3, 10.0),
    momentum=st.floats(0.0, 0.99),
    sparsity=st.floats(0.0, 1.0),
)
def test_no_step_is_longer_than_its_bound(seed, sizes, step_size, momentum, sparsity):
    draw = np.random.default_rng(seed)
    free = Ascent(step_size, 0.5, 3, momentum, 0.0)
    pulling = free._replace(sparsity=sparsity)
    psi, memory = draw.normal(size=(3, 3)), free.start((3, 3))
    for number, size in enumerate(sizes):
        gradient = size * draw.normal(size=(3, 3))
        moved, after = free.step(psi, gradient, memory, number)
        pulled, _ = pulling.step(psi, gradient, memory, number)
        rounding = 1e-14 * (1 + step_size)
        assert np.linalg.norm(moved - psi) <= step_size + rounding
        assert np.abs(pulled - moved).max() <= sparsity + rounding
        assert np.all(np.abs(pulled) <= np.abs(moved)) and np.all(pulled * moved >= 0)
        psi, memory = pulled, after


def test_steps_have_the_length_that_is_due():
    """Whatever the size of gradients; and a gradient without length moves nothing."""
    psi, gradients = sample(6, 1e-9)
    course = np.array([psi, *course_of(psi, gradients, FREE)])
    lengths = 0.5 + 0.25 * (1 + np.cos(np.pi * np.minimum(np.arange(6) / 4, 1)))
    np.testing.assert_allclose(norms_of(np.diff(course, axis=0)), lengths, rtol=1e-12)
    np.testing.assert_array_equal(course_of(psi, np.zeros((2, 3, 3)), FREE), [psi, psi])
    resting = course_of(psi, np.zeros((2, 3, 3)), FREE._replace(sparsity=0.1))
    np.testing.assert_allclose(np.abs(psi - resting[0]), np.minimum(0.1, np.abs(psi)), rtol=1e-12)


def test_what_only_noise_moves_stays_at_zero():
    """The pull stops a coordinate that noise moves, not the one that all gradients agree on."""
    noise = 0.1 * np.random.default_rng(1).normal(size=(40, 2, 2))
    gradients = noise + np.array([[1.0, 0.0], [0.0, 0.0]])
    ascent = Ascent(0.1, 1.0, 40, momentum=0.8, sparsity=0.02)
    last = course_of(np.zeros((2, 2)), gradients, ascent)[-1].ravel()
    without = course_of(np.zeros((2, 2)), gradients, ascent._replace(sparsity=0.0))[-1].ravel()
    assert last[0] > 1.0 and without[0] > 1.0
    assert np.abs(last[1:]).max() < 0.02 < np.abs(without[1:]).max()


def test_a_lifetime_says_no_more_than_its_share():
    gradients = np.random.default_rng(1).normal(size=(4, 3, 3))
    gradients[0] *= 1e6
    gradients[1] = 0.0
    norms = np.linalg.norm(gradients.reshape(4, -1), axis=1)
    unit = sum(gradients[b] / norms[b] for b in (0, 2, 3)) / 4
    np.testing.assert_allclose(mean_of_cut(gradients, None), unit, rtol=1e-13)
    factors = np.minimum(1.0, 2.0 / np.where(norms > 0, norms, 1.0))
    cut = np.mean(factors[:, None, None] * gradients, axis=0)
    np.testing.assert_allclose(mean_of_cut(gradients, 2.0), cut, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(mean_of_cut(gradients, np.inf), gradients.mean(axis=0), rtol=1e-13)


def test_a_norm_that_overflows_is_not_finite():
    assert not np.isfinite(norms_of(np.full((1, 2, 2), 1e200))).any()

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.linalg import expm

from plasticity.model.network import (
    Dynamics,
    Network,
    load_network,
    make_network,
    random_network,
    save_network,
    simulate_trial,
)


def _case(key, n_units=6, n_steps=12):
    keys = jax.random.split(key, 5)
    network = random_network(keys[0], n_units, 2)
    inputs = jax.random.normal(keys[1], (n_steps, 2))
    kicks = 0.1 * jax.random.normal(keys[2], (n_steps, n_units))
    state = jax.random.normal(keys[3], (n_units,))
    return network, inputs, kicks, state, 0.3 * state


@pytest.mark.parametrize("clamped", [(), ((1, 1.0), (4, -1.0))])
def test_trial_is_that_of_plain_loops(key, clamped):
    network, inputs, kicks, state, filtered = _case(key)
    dynamics = Dynamics(dt=2.0, tau=25.0, tau_filter=10.0, clamped=clamped)
    run = simulate_trial(network, inputs, kicks, state, filtered, dynamics)
    args = [np.asarray(a) for a in (*network, inputs, kicks, state, filtered)]
    options = {"dt": 2.0, "tau": 25.0, "gain": 1 - np.exp(-2.0 / 10.0), "clamped": clamped}
    for ours, plain in zip(run, oracles.simulate(*args, **options), strict=True):
        # A dozen steps of sums over six units lose a few ulp, far less than 1e-12.
        np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-13)


def _linear_error(network, ratio, drive, factor=1.0):
    """Error at 4τ of the linear network under constant input, against the matrix exponential."""
    tau, n_units = 16.0, network.W.shape[0]
    dynamics = Dynamics(dt=tau * ratio, tau=tau, transfer=lambda x: x)
    n_steps = round(4 / ratio)
    state = jnp.linspace(-1.0, 1.0, n_units)
    inputs = jnp.tile(drive[None], (n_steps, 1))
    run = simulate_trial(network, inputs, jnp.zeros((n_steps, n_units)), state, state, dynamics)
    A = np.asarray(network.W) - np.eye(n_units)
    fixed = -np.linalg.solve(A, factor * np.asarray(network.W_in @ drive))
    exact = fixed + expm(4.0 * A) @ (np.asarray(state) - fixed)
    return np.abs(np.asarray(run.states[-1]) - exact).max()


def _order(network, factor=1.0):
    ratios = [2.0**-k for k in range(3, 9)]
    drive = jnp.array([0.7, -0.4])
    errors = [_linear_error(network, ratio, drive, factor) for ratio in ratios]
    return np.polyfit(np.log(ratios), np.log(errors), 1)[0]


def test_euler_converges_at_first_order(key):
    network = random_network(key, 5, 2, gain=0.4)
    assert abs(_order(network) - 1) < 0.05


def test_a_wrong_input_factor_does_not_converge(key):
    network = random_network(key, 5, 2, gain=0.4)
    assert abs(_order(network, factor=1.01) - 1) > 0.05


def test_networks_are_the_same_in_both_precisions(key):
    double = random_network(key, 20, 3)
    with jax.enable_x64(False):
        single = random_network(key, 20, 3)
    for a, b in zip(double, single, strict=True):
        assert (a.dtype, b.dtype) == (jnp.float64, jnp.float32)
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_recurrent_weights_have_the_variance_of_the_gain(key):
    W = random_network(key, 200, 1, gain=1.3).W
    # The variance of 40,000 normal numbers is known to 0.7%; five times that.
    assert abs(float(jnp.var(W)) * 200 / 1.3**2 - 1) < 0.035
    assert float(jnp.abs(jnp.diag(W)).min()) > 0


def test_no_input_reaches_units_that_are_read_undriven(key):
    for n_outputs, read in ((None, 1), (2, 2)):
        plain, undriven = (
            random_network(key, 9, 3, readout=name, n_outputs=n_outputs)
            for name in ("unit", "undriven unit")
        )
        assert not undriven.W_in[:read].any() and plain.W_in[:read].all()
        np.testing.assert_array_equal(plain.W_in[read:], undriven.W_in[read:])
        np.testing.assert_array_equal(plain.W, undriven.W)
        np.testing.assert_array_equal(plain.W_out, undriven.W_out)


def test_a_network_survives_its_file(key, tmp_path):
    network = random_network(key, 9, 2, readout="unit")
    path = tmp_path / "trained.npz"
    save_network(path, network)
    for a, b in zip(load_network(path), network, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["trained.npz"]


def test_a_file_of_other_shapes_is_refused(key, tmp_path):
    network = random_network(key, 9, 2)
    path = tmp_path / "bad.npz"
    np.savez(path, W=network.W, W_in=network.W_in[:4], W_out=network.W_out)
    with pytest.raises(ValueError, match="bad.npz: .*N = 9"):
        load_network(path)
    np.savez(path, W=network.W)
    with pytest.raises(ValueError, match="bad.npz without W_in, W_out: restore it"):
        load_network(path)


@pytest.mark.parametrize("kind", [complex, "U4", "S4"])
def test_weights_that_are_no_real_numbers_are_refused(tmp_path, kind):
    path, weights = tmp_path / "bad.npz", [np.eye(2), np.ones((2, 1)), np.ones(2)]
    for place, name in enumerate(Network._fields):
        given = [array.astype(kind) if i == place else array for i, array in enumerate(weights)]
        np.savez(path, **dict(zip(Network._fields, given, strict=True)))
        with pytest.raises(ValueError, match=f"bad.npz: {name} holds real numbers; got type"):
            load_network(path)
        with pytest.raises(ValueError, match=f"{name} holds real numbers; got type"):
            make_network(*given)
    whole = dict(zip(Network._fields, [array.astype(int) for array in weights], strict=True))
    np.savez(path, **whole)
    assert load_network(path).W.dtype == float


def test_a_file_that_is_no_network_is_named(tmp_path):
    path = tmp_path / "page.npz"
    path.write_text("<!doctype html>")
    message = "a network file is a .npz of W, W_in, W_out; got .*page.npz, an HTML page: download"
    with pytest.raises(ValueError, match=message):
        load_network(path)
    with pytest.raises(FileNotFoundError, match="none.npz"):
        load_network(tmp_path / "none.npz")


def test_a_failed_save_leaves_the_old_file(key, tmp_path):
    path = tmp_path / "trained.npz"
    save_network(path, random_network(key, 4, 2))
    before = path.read_bytes()
    broken = random_network(key, 4, 2)._replace(W=jnp.full((4, 4), jnp.inf))
    with pytest.raises(ValueError, match="W is finite"):
        save_network(path, broken)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dt": -1.0}, "dt > 0"),
        ({"dt": 0.0}, "dt > 0"),
        ({"dt": 40.0, "tau": 30.0}, "dt ≤ tau"),
        ({"tau": -5.0}, "tau > 0"),
        ({"tau_filter": 0.0}, "tau_filter > 0"),
        ({"filter_gain": 1.5}, "filter_gain"),
    ],
)
def test_bad_dynamics_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        Dynamics(**options)


@pytest.mark.parametrize(
    ("W", "match"),
    [
        (np.zeros((3, 4)), r"square \(N, N\); got \(3, 4\)"),
        (np.array([[0.0, np.nan], [0.0, 0.0]]), "W is finite; got 1 entries"),
    ],
)
def test_bad_weights_are_named(W, match):
    n = W.shape[-1]
    with pytest.raises(ValueError, match=match):
        make_network(W, np.zeros((n, 1)), np.zeros(n))


def test_bad_draws_are_named(key):
    with pytest.raises(ValueError, match="n_units"):
        random_network(key, 0, 1)
    with pytest.raises(ValueError, match="readout"):
        random_network(key, 3, 1, readout="mean")

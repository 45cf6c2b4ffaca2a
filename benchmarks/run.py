"""Speed and memory of learning, as ratios within one run, best of several repetitions.

    python -m benchmarks.run

1. Degree 5, N = 100, T = 100, float32: operations of the recurrence (2N²T) and of the trace
   (2N²T(d+1)) per second, against the rate of a large float32 matrix product on this machine.
2. Miconi's setting, N = 200, T = 1000: time of a trial per core, against plain single-threaded C++.
3. Memory of the compiled lifetime against the number of trials.
4. Tangents, N = 200, T = 200, all 36 coefficients: time of a trial against `vmap(jvp)` of the plain
   steps that the tests use as oracle, and of the same steps ordered by hand; operations per second
   against the matrix product; memory at 50 and 500 trials in processes of their own; 500 trials at
   N = 100, T = 100.
5. The outer loop at the sizes of chapter 07: lifetimes a second with their pathwise gradients, and
   operations per second (the matrix products of each trial, once forward and twice backward; what
   is computed again does not count) against the matrix product.
6. The outer loop by degree: time of a gradient at d = 1 … 7 over that at d = 5, in the setting of
   chapter 12.
7. Tangents of rules on W_in, W and W_out together: time of a trial for each coefficient, over that
   of W alone.
8. A trial of every other rule, N = 100, T = 50, against one of the polynomial rule of degree 5.
9. Fixed points of a trained network, N = 200, three inputs, 200 starts: time per start that
   converges against a loop of SciPy's hybr from the same starts, its Jacobian given.
"""

import dataclasses
import importlib.util
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from companion.gradient_cost import jvp_of_steps, measure_alone, scaled_association
from companion.meta_training import TRAINING_RATE
from companion.settings import association_setting, brief_setting, dense_rule, miconi_setting
from companion.tuning import at_sizes
from scipy import optimize

from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.dynamics.fixed_points import find_fixed_points
from plasticity.dynamics.points import draw_starts
from plasticity.learning.lifetime import learn
from plasticity.learning.parallel import worker_count
from plasticity.learning.trial import draw_episode
from plasticity.meta.estimators import Pathwise
from plasticity.model.exploration import OutputNoise, WeightNoise, draw_kicks
from plasticity.model.network import simulate_trial
from plasticity.rules.backpropagation import backpropagation, policy_gradient
from plasticity.rules.feedback import reward_feedback, supervised_feedback
from plasticity.rules.pathways import on_pathways
from plasticity.rules.perturbation import (
    clean_trial,
    filtered_node_perturbation,
    weight_perturbation,
)
from plasticity.rules.three_factor import SoftBound, make_rule, node_perturbation, single_term
from plasticity.rules.trace import active_powers, decay_weights, eligibility_trace

BATCH, REPEATS = 48, 7


def best(function, *arguments, repeats: int = REPEATS) -> float:
    """Seconds of the fastest of several calls, after one that compiles."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)


def product_rate(size: int = 2048) -> float:
    """Operations per second of a square float32 matrix product."""
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    return 2 * size**3 / best(jax.jit(lambda a: a @ a), matrix)


def degree_five() -> None:
    """Learning with all 36 coefficients, and where its time goes."""
    setting = association_setting()
    n, steps, degree, trials = setting.n_units, setting.task.n_steps, 5, 100
    theta = 1e-3 * np.random.default_rng(0).normal(size=(degree + 1,) * 2)
    rule = make_rule(theta, learning_rate=1e-3, clip=1e-3)
    assert len(active_powers(rule.coefficients)) == degree + 1

    seconds = best(lambda: setting.learn(0, range(BATCH), trials, rule).errors)
    seconds /= BATCH * trials
    operations = 2 * n**2 * steps * (degree + 1) + 2 * n**2 * steps
    limit = product_rate()
    print(f"matrix product: {limit / 1e9:.0f} GFLOP/s")
    print(f"learning, N = {n}, T = {steps}, d = {degree}, {BATCH} networks:")
    print(f"  {1 / seconds:.0f} trials/s,", end=" ")
    print(f"{operations / seconds / 1e9:.0f} GFLOP/s, {operations / seconds / limit:.1%} of that")

    networks = setting.networks(0, range(BATCH))
    keys = jax.random.split(jax.random.key(0), BATCH)
    dynamics, exploration = setting.learner.dynamics, setting.learner.exploration
    draw = jax.jit(jax.vmap(lambda k: draw_kicks(k, exploration, dynamics.dt, steps, n)))
    kicks = draw(keys)
    state = jnp.zeros((BATCH, n))

    def simulate(network, kick, x):
        return simulate_trial(network, setting.task.inputs[0], kick, x, x, dynamics)

    simulated = jax.jit(jax.vmap(simulate))
    run = simulated(networks, kicks, state)
    weights = decay_weights(steps, dynamics.dt, 1000.0)
    trace = jax.jit(jax.vmap(lambda r, d: eligibility_trace(r, d, rule.coefficients, weights)))
    parts = {
        "exploration": best(draw, keys),
        "recurrence": best(simulated, networks, kicks, state),
        "trace": best(trace, run.rates, run.fluctuations),
    }
    for name, part in parts.items():
        print(
            f"  {name}: {part / BATCH / seconds:.0%} of a trial when timed alone, without threads"
        )


def against_plain_cpp() -> None:
    """Miconi's setting, one trial per core."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    setting, trials = miconi_setting(), 20
    # Past the first change of weights, as in the plain program, whose updates start at once.
    first = setting.learn(0, range(BATCH), 102)
    options = {"state": first.state}
    seconds = best(lambda: setting.learn(0, range(BATCH), trials, **options).errors, repeats=3)
    cores = worker_count()
    ours = seconds / (BATCH * trials) * cores
    print(
        f"Miconi's setting, {BATCH} networks: {ours * 1e3:.2f} ms a trial and core ({cores} cores)"
    )
    if compiler is None:
        print("  no C++ compiler: the plain program was not timed")
        return
    source = Path(__file__).with_name("trial.cpp")
    for steps, what in (
        (1, "the loops of the equations"),
        (8, "eight steps of the trace at a time"),
    ):
        plain, products = _plain_seconds(compiler, source, steps)
        ratio = plain / ours
        print(f"  C++, {what}: {plain * 1e3:.2f} ms a trial; ours is {ratio:.1f} times faster")
    trace = 2 * setting.n_units**2 * setting.task.n_steps / (product_rate() / cores)
    bound = products + trace
    print(
        f"  products of W alone {products * 1e3:.2f} ms, the trace at the rate of a matrix", end=" "
    )
    print(f"product {trace * 1e3:.2f} ms: {bound / ours:.0%} of ours")


def _plain_seconds(compiler: str, source: Path, steps: int) -> tuple[float, float]:
    """Of a trial, and of its products of W alone, at best of three."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "trial"
        options = ("-O3", "-march=native", f"-DSTEPS={steps}")
        subprocess.run([compiler, *options, source, "-o", program], check=True)
        runs = [subprocess.run([program, "40"], capture_output=True, check=True) for _ in range(3)]
    numbers = [[float(n) for n in run.stdout.split()] for run in runs]
    return min(n[0] for n in numbers), min(n[2] for n in numbers)


def memory() -> None:
    """Working memory of compiled lifetimes of 8 networks, and of the numbers they return."""
    setting = association_setting()
    networks, keys = setting.networks(0, range(8)), jax.random.split(jax.random.key(0), 8)

    def lifetime(keys, networks, trials):
        return learn(keys, networks, setting.task, setting.rule, setting.learner, trials)

    compiled = jax.jit(lifetime, static_argnums=2)
    for trials in (100, 1000, 10000):
        analysis = compiled.lower(keys, networks, trials).compile().memory_analysis()
        used, results = analysis.temp_size_in_bytes, analysis.output_size_in_bytes
        print(f"memory, {trials} trials: {used / 2**20:.2f} MiB, results {results / 2**20:.2f} MiB")


def tangents() -> None:
    """Learning with the tangents of all coefficients, and the same by hand."""
    n, steps, terms, trials = 200, 200, 36, 10
    setting = dataclasses.replace(association_setting(n_units=n), task=scaled_association(steps))
    rule = dense_rule(setting, learning_rate=3e-4).replace(clip=setting.rule.clip)
    cores = worker_count()

    def ours(runs, horizon=trials):
        return learn_with_tangents(*setting.arguments(0, range(runs), rule), horizon).norms

    one = best(ours, 1, repeats=5) / trials
    each = best(ours, cores, repeats=5) / trials / cores
    operations = 2 * n**2 * steps * (5 * terms + 2 * 6 + 1)
    share = operations / each / product_rate()
    print(f"tangents, N = {n}, T = {steps}, P = {terms}: {one * 1e3:.1f} ms a trial, one lifetime;")
    print(f"  {each * 1e3:.1f} ms a trial with {cores} lifetimes on {cores} cores:", end=" ")
    print(f"{operations / each / 1e9:.0f} GFLOP/s, {share:.0%} of the matrix product")

    keys, networks, task, _, learner = setting.arguments(0, [0])
    key, network = keys[0], jax.tree.map(lambda a: a[0], networks)
    plain_trials = 2
    numbers = jnp.arange(plain_trials, dtype=jnp.int32)
    episodes = jax.vmap(lambda h: draw_episode(key, h, task, learner, n))(numbers)
    directions = jnp.eye(terms).reshape(-1, *rule.coefficients.shape)

    def course(theta):
        return _oracles().course(theta, network, episodes, rule, learner)[-1]

    @jax.jit
    def plain(theta):
        return jax.vmap(lambda direction: jax.jvp(course, (theta,), (direction,))[1])(directions)

    ordered = jax.jit(lambda key: jvp_of_steps(key, network, task, rule, learner, plain_trials))
    by_hand = {
        "plain steps": best(plain, rule.coefficients, repeats=3) / plain_trials,
        "steps ordered by hand": best(ordered, key, repeats=3) / plain_trials,
    }
    for name, seconds in by_hand.items():
        print(f"  vmap(jvp) of {name}: {seconds * 1e3:.0f} ms a trial;", end=" ")
        print(f"ours is {seconds / one:.1f} (one) and {seconds / each:.1f} times faster (each)")

    small = association_setting()
    trials = 500
    dense = dense_rule(small, learning_rate=3e-4).replace(clip=small.rule.clip)
    whole = best(
        lambda: learn_with_tangents(*small.arguments(0, [0], dense), trials).norms, repeats=2
    )
    print(f"  {trials} trials, N = 100, T = {small.task.n_steps}: {whole:.1f} s")
    costs = [measure_alone("closed form", n, steps, 5, horizon) for horizon in (50, 500)]
    for name in ("planned", "resident"):
        low, high = (getattr(cost, name) for cost in costs)
        print(
            f"  {name} memory, 50 and 500 trials: {low / 2**20:.1f}, {high / 2**20:.1f} MiB,",
            end=" ",
        )
        print(f"ratio {high / low:.3f}")


def outer_loop(batch: int = 96, trials: int = 120) -> None:
    """Pathwise gradients of whole lifetimes, all 36 coefficients."""
    setting = brief_setting(learning_rate=TRAINING_RATE)
    rule = dense_rule(setting, learning_rate=TRAINING_RATE).replace(clip=setting.rule.clip)
    arguments = setting.arguments(0, np.arange(batch, dtype=np.uint32), rule)
    each = best(lambda: Pathwise()(*arguments, trials).gradients, repeats=3) / batch
    products = 2 * setting.n_units**2 * setting.task.n_steps * (6 + 1)
    rate = 3 * products * trials / each
    print(f"outer loop, lifetimes of {trials} trials: {1 / each:.1f} a second with gradients,")
    print(f"  {rate / 1e9:.0f} GFLOP/s, {rate / product_rate():.0%} of the matrix product")


def degrees(batch: int = 16, trials: int = 120) -> None:
    """Cost of a gradient of the outer loop by degree, over that of degree 5."""
    setting, seconds = brief_setting(learning_rate=TRAINING_RATE), {}
    for degree in range(1, 8):
        # Too small to change a weight much: every power is computed all the same.
        theta = 1e-6 * np.random.default_rng(0).normal(size=(degree + 1, degree + 1))
        rule = make_rule(theta, learning_rate=TRAINING_RATE, bound=SoftBound(0.01))
        given = setting.arguments(0, np.arange(batch, dtype=np.uint32), rule)
        seconds[degree] = best(lambda g=given: Pathwise()(*g, trials).gradients, repeats=3)
    ratios = ", ".join(f"{seconds[d] / seconds[5]:.2f}" for d in seconds)
    print(f"outer loop by degree, d = 1 … 7: {ratios} of d = 5")


def pathways(n: int = 100, steps: int = 100, trials: int = 10) -> None:
    """Tangents of rules on all pathways, for each coefficient, over those of W alone."""
    setting = dataclasses.replace(association_setting(n_units=n), task=scaled_association(steps))
    rule = dense_rule(setting, learning_rate=3e-4).replace(clip=setting.rule.clip)
    rules = {"W": rule, "all": on_pathways(recurrent=rule, inward=rule, outward=rule)}
    seconds = {
        name: best(
            lambda one=one: learn_with_tangents(*setting.arguments(0, [0], one), trials).norms,
            repeats=5,
        )
        for name, one in rules.items()
    }
    ratio = seconds["all"] / seconds["W"] / 3
    print(
        f"tangents of three pathways, N = {n}, T = {steps}, P = 108: a coefficient costs", end=" "
    )
    print(f"{ratio:.2f} times what one of W alone does, P = 36")


def other_rules(trials: int = 40) -> None:
    """Time of a trial under each rule, exploring as it reads, over that of the polynomial."""
    setting = brief_setting()
    size = 0.05
    kicks, output = setting.learner.exploration, OutputNoise(size=size)
    theta = 1e-3 * np.random.default_rng(0).normal(size=(6, 6))
    trace, weights = weight_perturbation(size).trace, WeightNoise(size=size)
    rules = {
        "polynomial": (make_rule(theta, learning_rate=1e-4, clip=1e-3), kicks),
        "one term": (single_term(1, 5, learning_rate=1e-4, clip=1e-3), kicks),
        "node perturbation": (node_perturbation(learning_rate=1e-4), kicks),
        "filtered node perturbation": (filtered_node_perturbation(learning_rate=1e-4), kicks),
        "weight perturbation": (weight_perturbation(size, learning_rate=1e-6), weights),
        "with a clean second trial": (
            clean_trial(trace, learning_rate=1e-6),
            weights,
        ),
        "e-prop, RFLO on reward": (reward_feedback(learning_rate=1e-4), output),
        "RFLO on the target": (supervised_feedback(learning_rate=1e-5), kicks),
        "policy gradient by BPTT": (policy_gradient(size, learning_rate=1e-5), output),
        "BPTT on the target": (backpropagation(learning_rate=1e-4), kicks),
    }
    seconds = {}
    for name, (rule, exploration) in rules.items():
        learner = dataclasses.replace(setting.learner, exploration=exploration)
        place = dataclasses.replace(setting, learner=learner, rule=rule)
        seconds[name] = best(lambda place=place: place.learn(0, range(BATCH), trials).errors)
    print(f"a trial of other rules, N = {setting.n_units}, T = {setting.task.n_steps}:")
    for name, taken in seconds.items():
        each, ratio = taken / BATCH / trials, taken / seconds["polynomial"]
        print(f"  {name}: {each * 1e6:.0f} us, {ratio:.2f} of the polynomial rule")


def fixed_points(n: int = 200, n_starts: int = 200) -> None:
    """The search against SciPy's, from the same starts, by time per start that converges."""
    setting = brief_setting(n_units=n)
    rule = at_sizes(setting, single_term(1, 5), [1e-3])[0]
    networks = setting.networks(0, [0])
    learned = setting.learn(0, [0], 200, rule).state.W
    network = jax.tree.map(lambda a: a[0], networks._replace(W=learned))
    keys, _, task, _, learner = setting.arguments(0, [0], rule)
    states = []
    for trial in range(task.n_conditions):
        drawn = draw_episode(keys[0], jnp.int32(trial), task, learner, n)
        start = (drawn.state, drawn.state, learner.dynamics)
        run = simulate_trial(network, drawn.trial.inputs, 0 * drawn.kicks, *start)
        states.append(np.asarray(run.states))
    starts = draw_starts(np.concatenate(states), n_starts, seed=0)
    inputs = np.concatenate([np.eye(2), np.zeros((1, 2))])

    search = find_fixed_points(network, inputs, starts)
    ours = best(find_fixed_points, network, inputs, starts, repeats=3) / search.converged.sum()

    W, W_in = np.asarray(network.W, float), np.asarray(network.W_in, float)
    converged = np.zeros(len(inputs), int)
    began = time.perf_counter()
    for number, u in enumerate(inputs):

        def velocity(x, drive=W_in @ u):
            return W @ np.tanh(x) + drive - x

        def derivative(x):
            return W * (1 - np.tanh(x) ** 2) - np.eye(n)

        for start in starts:
            options = {"jac": derivative, "method": "hybr", "options": {"xtol": 1e-12}}
            end = optimize.root(velocity, start, **options).x
            converged[number] += np.linalg.norm(velocity(end)) <= 1e-10
    plain = (time.perf_counter() - began) / converged.sum()
    print(f"fixed points, N = {n}, {len(inputs)} inputs, {n_starts} starts:", end=" ")
    print(f"{ours * 1e3:.1f} ms per start that converges, {plain / ours:.1f} times less than hybr")
    print(f"  converged {search.converged.sum(axis=1)}, hybr {converged};", end=" ")
    print(f"slow points {search.slow.sum(axis=1)}, neither", end=" ")
    print((~search.converged & ~search.slow).sum(axis=1))


def _oracles():
    path = Path(__file__).parents[1] / "tests" / "oracles.py"
    spec = importlib.util.spec_from_file_location("oracles", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}")
    degree_five()
    against_plain_cpp()
    memory()
    tangents()
    outer_loop()
    degrees()
    pathways()
    other_rules()
    fixed_points()

"""The page "Explore a rule" computes what the package computes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import explore_data as explore
import jax
import numpy as np
import pytest
from companion.settings import BRIEF, brief_setting
from companion.tuning import activity_moments, first_activity, integrand_size

import plasticity
from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.reward import trial_error
from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial
from plasticity.model.network import simulate_trial
from plasticity.rules.three_factor import make_rule

ROOT = Path(__file__).parents[2]

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="apt-get install nodejs")
UNITS, TRIALS, RATE = 12, 6, 1e-4
THETA = np.random.default_rng(7).normal(size=(6, 6))
MOMENTS = activity_moments(*first_activity(brief_setting(n_units=UNITS), 3, 4)[:2], 5)
SOME_ERRORS = np.random.default_rng(8).uniform(0.0, 1.3, (8, 300))


@pytest.fixture(scope="module")
def written():
    return explore.data()


@pytest.fixture(scope="module", params=BRIEF)
def package(request):
    """Trials of a rule without zeros in the package, and what they started from."""
    setting = brief_setting(request.param, n_units=UNITS)
    rule = make_rule(THETA, learning_rate=RATE, clip=float(setting.rule.clip))
    network = jax.tree.map(lambda a: a[0], setting.networks(5, [0]))
    state = initial_learning_state(network, setting.task, rule, setting.learner)
    episodes, trials = [], []
    for h in range(TRIALS):
        key = jax.random.key(6)
        episode = draw_episode(key, jax.numpy.int32(h), setting.task, setting.learner, UNITS)
        down = -jax.grad(_error)(state.W, network, episode, setting.learner.dynamics)
        before = state.W
        state, outcome = learn_trial(state, episode, network, rule, setting.learner)
        episodes.append(episode)
        share = np.isclose(np.abs(state.W - before), float(setting.rule.clip), rtol=1e-6).mean()
        row = {"output": outcome.trajectory.output, "trace": outcome.trace, "W": state.W}
        row |= {"descent": down, "share": share}
        trials.append(
            {n: np.asarray(a).ravel() for n, a in (row | {"error": outcome.error}).items()}
        )
    return setting, network, episodes, trials


def _error(W, network, episode, dynamics):
    trial, start = episode.trial, episode.state
    given = (trial.inputs, episode.kicks, start, start, dynamics)
    return trial_error(simulate_trial(network._replace(W=W), *given).output, trial)


def _in_javascript(package, written, lifetimes=(), **changes):
    setting, network, episodes, _ = package
    case = {
        "setting": explore.described(setting) | changes,
        "rule": {"theta": THETA.tolist(), "learningRate": RATE, "clip": float(setting.rule.clip)},
        "W": np.asarray(network.W).tolist(),
        "Win": np.asarray(network.W_in).tolist(),
        "Wout": np.asarray(network.W_out).tolist(),
        "episodes": [
            {
                "condition": int(e.trial.condition),
                "kicks": np.asarray(e.kicks).tolist(),
                "state": np.asarray(e.state).tolist(),
                "inputs": np.asarray(e.trial.inputs).tolist(),
            }
            for e in episodes
        ],
        "point": [0.7, -1.3],
        "moments": MOMENTS.tolist(),
        "written": written,
        "lifetimes": lifetimes,
        "errors": SOME_ERRORS.tolist(),
    }
    command = [NODE, str(ROOT / "tests" / "explore_core.js")]
    done = subprocess.run(command, input=json.dumps(case), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _gap(found: dict, expected: list[dict]) -> float:
    """Largest difference in any trial, relative to the largest entry of the array."""
    gaps = []
    for one, other in zip(found["trials"], expected, strict=True):
        for name, array in other.items():
            difference = np.abs(np.ravel(one[name]) - array).max()
            gaps.append(difference / np.abs(array).max())
    return max(gaps)


@needs_node
def test_a_trial_in_the_page_is_that_of_the_package(package, written):
    setting, network, _, trials = package
    changes = np.abs(trials[0]["W"] - np.asarray(network.W).ravel())
    clipped = np.isclose(changes, float(setting.rule.clip), rtol=1e-9)
    assert 0.05 < clipped.mean() < 0.95
    assert _gap(_in_javascript(package, written), trials) < 1e-9


@needs_node
@pytest.mark.parametrize(
    "change", ["filterGain", "tau", "tauE", "baselineRate", "initialBaseline", "dt"]
)
def test_every_number_of_the_setting_matters(package, written, change):
    value = explore.described(package[0])[change]
    changed = _in_javascript(package, written, **{change: value * 1.001})
    assert _gap(changed, package[-1]) > 1e-9


@needs_node
def test_functions_of_the_page_are_those_of_the_package(package, written):
    found = _in_javascript(package, written)
    r, delta = 0.7, -1.3
    powers = np.arange(6)
    assert found["integrand"] == pytest.approx(r**powers @ THETA @ delta**powers, rel=1e-12)
    size = integrand_size(brief_setting(n_units=UNITS), make_rule(THETA), seed=3)
    assert found["size"] == pytest.approx(size, rel=1e-9)
    run = [np.reshape(found["run"][name], (1, -1, UNITS)) for name in ("rates", "fluctuations")]
    np.testing.assert_allclose(found["moments"], activity_moments(*run, 5), rtol=1e-9, atol=1e-15)
    mean, *each = np.transpose(found["quiet"])
    if len(package[0].task.targets) == 2:
        np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=1e-12)
    assert found["cosine"] == pytest.approx(2 * r * delta / (r**2 + delta**2))
    correct_below = written["settings"]["delayed_association"]["correctBelow"]
    result = trials_to_criterion(SOME_ERRORS < correct_below)
    expected = [int(t) if ok else None for t, ok in zip(*result, strict=True)]
    assert found["criterion"] == expected
    assert None in expected and any(expected)


@needs_node
def test_what_the_page_draws_has_the_distributions_of_the_package(package, written):
    drawn = _in_javascript(package, written, units=200)["drawn"]
    W, Win, kicks = (np.array(drawn[name]) for name in ("W", "Win", "kicks"))
    task, setting = package[0].task, explore.described(package[0])
    added = np.reshape(drawn["inputs"], task.inputs[0].shape) - np.asarray(task.inputs[0])
    noise = np.asarray(task.noise)
    assert (added[noise == 0] == 0).all()
    if noise.any():
        scaled = added[noise > 0] / noise[noise > 0]
        assert scaled.mean() == pytest.approx(0, abs=0.5)
        assert scaled.std() == pytest.approx(1, rel=0.3)
    assert W.mean() == pytest.approx(0, abs=0.002)
    assert W.std() == pytest.approx(setting["gain"] / 200**0.5, rel=0.02)
    assert np.abs(Win).max() < 1
    assert Win.std() == pytest.approx(3**-0.5, rel=0.1)
    hit = kicks[kicks != 0]
    assert hit.size / kicks.size == pytest.approx(setting["kickProbability"], rel=0.2)
    assert np.abs(hit).max() < setting["kickAmplitude"]
    assert hit.std() == pytest.approx(setting["kickAmplitude"] * 3**-0.5, rel=0.1)


@needs_node
def test_the_network_that_the_page_opens_with_learns_and_not_by_luck(package, written):
    script = (ROOT / "book" / "static" / "explore" / "page.js").read_text()
    first = int(re.search(r"const FIRST = (\d+);", script)[1])
    lifetimes = [(first, "theta-1-5", 1), (first, "theta-1-5", -1), (first, "zero", 1)]
    learned, flipped, idle = _in_javascript(package, written, lifetimes)["reached"]
    assert learned is not None and learned < 300
    assert flipped is None and idle is None


def test_every_element_that_the_script_names_is_on_the_page():
    folder = ROOT / "book"
    script = (folder / "static" / "explore" / "page.js").read_text()
    named = re.findall(r'(?:byId|listen|describe)\("([\w-]+)"', script)
    both = re.findall(r"(?:byId|listen|describe)\(`([\w-]+-)\$\{which\}`", script)
    assert len(set(both)) == 7
    named += [f"{name}{which}" for name in both for which in "ab"]
    assert len(set(named)) > 15
    there = re.findall(r'id="explore-([\w-]+)"', (folder / "pages" / "explore.md").read_text())
    assert set(named) <= set(there)


def test_the_page_has_the_learned_rule_and_every_preset_a_button(written):
    learned = np.asarray(plasticity.learned_rule("association").coefficients, float)
    # Written in float64, read here in float32.
    np.testing.assert_allclose(written["presets"]["learned"], learned.ravel(), rtol=1e-6)
    assert written["presets"]["theta-1-5"][1 * 6 + 5] == -1
    page = (ROOT / "book" / "pages" / "explore.md").read_text()
    for name in written["presets"]:
        assert f'id="explore-preset-{name}"' in page
    assert "NaN" not in json.dumps(written) and "Infinity" not in json.dumps(written)


def test_the_page_is_small_and_asks_for_nothing_outside(tmp_path):
    assert explore.main([]) == 2
    assert explore.main([str(tmp_path / "data.js")]) == 0
    files = [*(ROOT / "book" / "static" / "explore").glob("*"), tmp_path / "data.js"]
    sources = [f.read_text() for f in files if f.name != "data.js" or f.parent == tmp_path]
    assert sum(map(len, sources)) < 100_000
    for source in [*sources, (ROOT / "book" / "pages" / "explore.md").read_text()]:
        for word in ("http:", "https:", "fetch(", "XMLHttpRequest", "import("):
            assert word not in source

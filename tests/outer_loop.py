"""A tiny outer loop for tests; `outer_loop_program.py` runs it in a process of its own."""

import dataclasses

import conftest  # noqa: F401  (float64, strict types)
import jax
import jax.numpy as jnp
import numpy as np
from cases import LEARNER, TASK

from plasticity.learning.setting import Setting
from plasticity.meta.estimators import EvolutionStrategy, MetaGradient, Pathwise
from plasticity.meta.train import MetaTraining, coordinate_scale, meta_train
from plasticity.model.exploration import OutputNoise
from plasticity.rules.base import stack
from plasticity.rules.feedback import reward_feedback
from plasticity.rules.three_factor import make_rule

# All powers are active from the start, so that one compiled program serves all iterations.
RULE = make_rule(-np.eye(4)[3] * np.eye(4)[:, 3:] - 0.01, learning_rate=3e-3, clip=1e-2)
SETTING = Setting(task=TASK, learner=LEARNER, rule=RULE, n_units=6)
# Three lifetimes a batch do not divide evenly between two devices.
CONFIG = MetaTraining(
    n_iterations=4,
    n_networks=3,
    n_trials=4,
    n_validation=3,
    validation_trials=6,
    window=4,
    needed=3,
    validate_every=2,
)
SCALE = coordinate_scale(SETTING, RULE, CONFIG.training_seed)
# Differentiates nothing, so that it is compiled in little time.
ESTIMATOR = EvolutionStrategy(spread=0.1, scale=tuple(map(tuple, SCALE.tolist())))


@dataclasses.dataclass(frozen=True)
class Bowl:
    """A stand-in for an estimator, exact for J = −‖ψ − top‖²/2 but for the noise it adds.

    The first ``lost`` lifetimes of each batch are not finite; ``sign`` −1 is a broken estimator.
    """

    top: float = 0.5
    noise: float = 0.0
    lost: int = 0
    sign: float = 1.0

    def __call__(self, keys, networks, task, rule, learner, n_trials):
        away = self.top - SCALE * np.asarray(rule.coefficients)
        noise = jax.vmap(lambda key: jax.random.normal(key, away.shape))(keys)
        finite = jnp.arange(keys.size) >= self.lost
        gradients = SCALE[None] * (self.sign * away[None] + self.noise * noise)
        gradients = jnp.where(finite[:, None, None], gradients, jnp.nan)
        returns = jnp.where(finite, -0.5 * np.sum(away**2), jnp.nan)
        return MetaGradient(gradients, returns, finite)


def arrays(result) -> dict[str, np.ndarray]:
    """A result as one flat dictionary."""
    fields = result._asdict()
    fields["rule"] = result.rule.coefficients
    return {name: np.asarray(value) for name, value in fields.items()}


def train(checkpoint=None) -> dict[str, np.ndarray]:
    return arrays(meta_train(SETTING, ESTIMATOR, RULE, CONFIG, checkpoint=checkpoint))


def lifetimes() -> dict[str, np.ndarray]:
    """Gradients of 3 lifetimes by two estimators, lifetimes of 2 rules by 3 networks, and of a
    rule with a state of another kind.
    """
    arguments = SETTING.arguments(3, np.arange(3), RULE)
    evolution = ESTIMATOR(*arguments, CONFIG.n_trials)
    pathwise = Pathwise()(*arguments, CONFIG.n_trials)
    rules = stack([RULE.replace(learning_rate=jnp.array(rate)) for rate in (1e-3, 3e-3)])
    courses = SETTING.learn(3, np.arange(3), 6, rules)
    W = courses.state.W.reshape(6, 6, 6)
    results = evolution._asdict() | {"W": W, "errors": courses.errors.reshape(6, 6)}
    results |= {"pathwise": pathwise.gradients, "pathwise returns": pathwise.returns}
    learner = dataclasses.replace(LEARNER, exploration=OutputNoise(size=0.3))
    rule = reward_feedback(learning_rate=0.1, readout_rate=0.1)
    other = dataclasses.replace(SETTING, learner=learner, rule=rule).learn(3, np.arange(3), 6)
    results |= {"W of feedback": other.state.W, "W_out": other.state.W_out}
    return {name: np.asarray(value) for name, value in results.items()}

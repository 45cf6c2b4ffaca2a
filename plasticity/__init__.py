"""Meta-learned three-factor plasticity in recurrent networks: companion of arXiv 2512.09366.

    import plasticity as pl

gives the names below: what it takes to set a task, train networks with a rule, differentiate their
learning, learn the rule, take trained networks apart, and read a rule from recordings. Modules of
the subpackages hold more.
"""

from plasticity.derivatives.differences import compare_with_differences
from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation
from plasticity.dynamics.alignment import input_sensitivity
from plasticity.dynamics.fixed_points import find_fixed_points
from plasticity.dynamics.points import distinct_points, draw_starts
from plasticity.dynamics.portrait import draw_portrait, point_measures
from plasticity.dynamics.spectrum import henrici_index, jacobian, stability
from plasticity.learning.criterion import evaluate, restricted_mean, trials_to_criterion
from plasticity.learning.lifetime import learn
from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner, draw_episode, initial_learning_state, learn_trial
from plasticity.meta.estimators import EvolutionStrategy, Pathwise
from plasticity.meta.score_function import ParameterScore, WeightScore
from plasticity.meta.train import MetaTraining, meta_train
from plasticity.model.exploration import Kicks, OutputNoise, UnitNoise, WeightNoise, draw_kicks
from plasticity.model.network import (
    Dynamics,
    Network,
    make_network,
    random_network,
    simulate_trial,
)
from plasticity.model.tasks import Task, make_task
from plasticity.recovery.recording import read_recording, simulate_recording
from plasticity.recovery.regression import recover_from_weights, recover_rule
from plasticity.rules.backpropagation import backpropagation, policy_gradient
from plasticity.rules.base import Change, Rule, Seen, stack
from plasticity.rules.feedback import reward_feedback, supervised_feedback
from plasticity.rules.learned import learned_rule
from plasticity.rules.pathways import on_pathways
from plasticity.rules.perturbation import weight_perturbation
from plasticity.rules.structure import structured
from plasticity.rules.three_factor import (
    SoftBound,
    ThreeFactor,
    compose,
    covariance,
    make_rule,
    miconi,
    node_perturbation,
    single_term,
)
from plasticity.rules.time_constants import with_time_constants
from plasticity.rules.trace import FunctionTrace, eligibility_trace

__all__ = [
    "Change",
    "Differentiation",
    "Dynamics",
    "EvolutionStrategy",
    "FunctionTrace",
    "Kicks",
    "Learner",
    "MetaTraining",
    "Network",
    "OutputNoise",
    "ParameterScore",
    "Pathwise",
    "Rule",
    "Seen",
    "Setting",
    "SoftBound",
    "Task",
    "ThreeFactor",
    "UnitNoise",
    "WeightNoise",
    "WeightScore",
    "backpropagation",
    "compare_with_differences",
    "compose",
    "covariance",
    "distinct_points",
    "draw_episode",
    "draw_kicks",
    "draw_portrait",
    "draw_starts",
    "eligibility_trace",
    "evaluate",
    "find_fixed_points",
    "henrici_index",
    "initial_learning_state",
    "input_sensitivity",
    "jacobian",
    "learn",
    "learn_trial",
    "learn_with_tangents",
    "learned_rule",
    "make_network",
    "make_rule",
    "make_task",
    "meta_train",
    "miconi",
    "node_perturbation",
    "on_pathways",
    "point_measures",
    "policy_gradient",
    "random_network",
    "read_recording",
    "recover_from_weights",
    "recover_rule",
    "restricted_mean",
    "reward_feedback",
    "simulate_recording",
    "simulate_trial",
    "single_term",
    "stability",
    "stack",
    "structured",
    "supervised_feedback",
    "trials_to_criterion",
    "weight_perturbation",
    "with_time_constants",
]

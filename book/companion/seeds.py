"""The one table of seeds: which networks and draws serve what, and which are spent.

A seed that chose something never judges it, and one that has judged is retired when what it judged
is changed. Runs of a seed are numbered, so that choosing and trying again can use others of one.
"""

from typing import NamedTuple


class Seed(NamedTuple):
    """A number, what it is used for, and whether that use is over."""

    number: int
    use: str
    retired: bool = False


SEEDS: dict[str, Seed] = {
    "costs": Seed(0, "chapter 05: the network whose gradient is timed"),
    "parity 1": Seed(1, "chapter 03: learned in a setting that lacked two details", retired=True),
    "rates": Seed(2, "chapter 02: choice of learning rates"),
    "rules": Seed(3, "chapter 02: comparison of rules at those rates"),
    "validation of gradients": Seed(4, "chapter 04: networks whose tangents are checked"),
    "growth": Seed(5, "chapter 04: growth of tangents"),
    "estimators 1": Seed(6, "chapter 06: gradients at θ_33 = −1, of another design", retired=True),
    "map": Seed(10, "chapter 07: map of settings"),
    "training": Seed(11, "chapter 07: networks of the outer loop"),
    "validation": Seed(12, "chapters 07 and 08: choice of rules and of learning rates"),
    "test 1": Seed(13, "chapter 07: judged an earlier learned rule", retired=True),
    "knock-outs": Seed(14, "chapter 08: coefficients of an earlier rule removed", retired=True),
    "sparse rules": Seed(15, "chapter 08: few terms of an earlier rule", retired=True),
    "transfer": Seed(16, "chapter 08: an earlier rule in other tasks", retired=True),
    "dynamics 1": Seed(17, "chapter 09: taken apart after equally many trials", retired=True),
    "test 2": Seed(18, "chapter 07: judged an earlier learned rule", retired=True),
    "test 3": Seed(19, "chapter 07: judged an earlier learned rule", retired=True),
    "test 4": Seed(26, "chapter 07: judged an earlier learned rule", retired=True),
    "test 5": Seed(27, "chapter 07: judged rates that were tuned in one round", retired=True),
    "confirmation": Seed(28, "chapter 07: judged the sixth attempt once more", retired=True),
    "test, association": Seed(29, "chapter 07: comparison of rules on delayed association"),
    "test, integration": Seed(30, "chapter 07: comparison of rules on evidence integration"),
    "choice of algorithms": Seed(31, "chapter 10: choice of the free numbers of algorithms"),
    "algorithms, association": Seed(32, "chapter 10: comparison on delayed association"),
    "algorithms, integration": Seed(33, "chapter 10: comparison on evidence integration"),
    "algorithms, long delay": Seed(34, "chapter 10: comparison in the setting of chapter 02"),
    "alignment": Seed(35, "chapter 10: networks whose updates are compared with the gradient"),
    "single kick": Seed(36, "chapter 10: networks that are kicked once"),
    "parity": Seed(37, "chapter 03: networks that learn by the hand-crafted rule"),
    "selective integration": Seed(38, "chapter 03: networks that learn selective integration"),
    "choice, non-match": Seed(39, "chapter 03: choice of steps and clips in the published setting"),
    "published, non-match": Seed(40, "chapter 03: rules at these in the published setting"),
    "choice, selective": Seed(41, "chapter 03: choice of steps and clips, selective integration"),
    "published, selective": Seed(42, "chapter 03: rules at these, selective integration"),
    "choice of iterates": Seed(43, "chapter 07: choice of iterates of courses of the outer loop"),
    "choice of bounds": Seed(44, "chapter 07: choice of steps and bounds of rules"),
    "learned rules": Seed(45, "chapter 07: rules that were learned beside others"),
    "mechanism": Seed(46, "chapter 08: networks whose traces are compared with their kicks"),
    "choice elsewhere": Seed(47, "chapter 08: choice of steps and bounds under other kicks"),
    "terms elsewhere": Seed(48, "chapter 08: terms under other filters and kicks"),
    "estimators": Seed(49, "chapter 06: lifetimes whose gradients are estimated"),
    "choice of first steps": Seed(50, "chapter 06: choice of step sizes of methods that race"),
    "race": Seed(51, "chapter 06: rules that methods learned in the same time"),
    "choice of parts": Seed(52, "chapter 08: choice of steps and bounds of parts of a rule"),
    "parts": Seed(53, "chapter 08: parts of the learned rule, and even powers alone"),
    "choice in other settings": Seed(54, "chapter 08: choice of steps and bounds elsewhere"),
    "other settings": Seed(55, "chapter 08: the learned rule in other settings"),
    "dynamics, tried": Seed(56, "chapter 09: a pilot of networks that are matched"),
    "dynamics, matched": Seed(57, "chapter 09: networks that are taken apart when they match"),
    "lazy or rich": Seed(58, "chapter 09: networks of other gains and readouts"),
    "rule recovery": Seed(59, "chapter 11: networks by whose activity a rule is named"),
    "recovered rules": Seed(60, "chapter 11: networks that learn by rules read from recordings"),
    "recorded examples": Seed(61, "chapter 11: networks whose recordings are an example"),
    "space, choice of iterates": Seed(62, "chapter 12: choice of iterates of courses"),
    "space, choice of bounds": Seed(63, "chapter 12: choice of steps and bounds of rules"),
    "space of rules": Seed(64, "chapter 12: rules from spaces of other sizes"),
    "choice under other factors": Seed(65, "chapter 12: steps and bounds under other factors"),
    "other third factors": Seed(66, "chapter 12: rules under other third factors"),
    "pathways, choice of iterates": Seed(67, "chapter 13: choice of iterates of courses"),
    "pathways, choice of steps": Seed(68, "chapter 13: choice of steps and bounds"),
    "pathways": Seed(69, "chapter 13: rules on sets of pathways"),
    "decays": Seed(70, "chapter 12: rules with and without a decay of the weights"),
    "decays, choice of bounds": Seed(150, "chapter 12: choice of their bounds, 150 to 154"),
    "pathways, searched again": Seed(147, "chapter 13: further searches, 147 and 148"),
    "space, courses": Seed(140, "chapter 12: networks of courses of the outer loop, 140 to 144"),
    "factors, searched again": Seed(145, "chapter 12: further searches, 145 and 146"),
    "parts, searched again": Seed(130, "chapter 08: other choices for the whole rule, 130 to 136"),
    "race, courses": Seed(120, "chapter 06: networks of the race's courses, 120 to 124"),
    "race, tried": Seed(125, "chapter 06: networks of courses that try step sizes"),
    "courses": Seed(100, "chapter 07: networks of courses of the outer loop, 100 to 115"),
}


def seed(name: str) -> int:
    """The number of a seed that is in use.

    Raises:
        KeyError: no such seed. ValueError: a retired one.
    """
    entry = SEEDS[name]
    if entry.retired:
        raise ValueError(f"a seed in use; got {name!r}, retired: add a new one to companion.seeds")
    return entry.number

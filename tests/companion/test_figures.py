from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from companion import figures
from companion.contest import FAMILIES
from companion.rule_comparison import CONTROLS, RULES
from companion.statistics import Survival
from matplotlib.colors import to_rgba

TOGETHER = {
    "chapter 02": list(RULES),
    "controls": ["(3,3)", *CONTROLS],
    "chapter 09": ["untrained", "(3,3)", "(1,1)", "(1,5)", "learned", "node perturbation"],
} | {
    family: ["learned", *(n for n in names if n != "learned")] for family, names in FAMILIES.items()
}


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_rules_of_one_figure_have_colours_of_their_own(names):
    assert len({figures.style(name)["color"] for name in names}) == len(names)


def test_no_two_rules_look_the_same():
    names = {name for names in TOGETHER.values() for name in names}
    names |= {f"({k},{ell})" for k in (1, 3, 5) for ell in (1, 3, 5)}
    looks = [tuple(map(str, figures.style(name).values())) for name in names]
    assert len(set(looks)) == len(looks)
    for index, name in enumerate(names):
        assert figures.style(name, index) == figures.style(name), "a rule has no other style"


def test_other_curves_are_told_apart_by_their_number():
    styles = [figures.style("noise", i, marker=True) for i in range(8)]
    assert all(a != b for a, b in combinations(styles, 2))
    assert figures.style("noise", 8) == figures.style("noise", 0)


def test_curves_take_the_style_of_the_rule_that_names_them(ax):
    curve = Survival(*np.array([[0, 5, 9], [1, 0.5, 0.5], [1, 0.4, 0.4], [1, 0.6, 0.6]]))
    figures.plot_survival(ax, curve, "(1,5)")
    figures.plot_survival(ax, curve, "learned rule", figures.style("learned"), band=False)
    first, second = ax.lines
    assert first.get_color() == figures.GREEN and second.get_color() == figures.VERMILION
    assert ax.get_legend_handles_labels()[1] == ["(1,5)", "learned rule"]
    band = ax.collections[0].get_facecolor()[0, :3]
    np.testing.assert_allclose(band, to_rgba(figures.GREEN)[:3])


def test_means_and_errors_are_those_of_networks(ax):
    figures.plot_learning(ax, np.array([[1.0, 2.0], [3.0, 6.0]]), 20, "(1,1)")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata(), [2.0, 4.0])
    assert line.get_xdata().tolist() == [10.0, 30.0]


def test_lines_of_other_shifts_lie_apart(ax):
    numbers = np.array([[1.0, 0.5, 1.5], [2.0, 1.5, 2.5]])
    for shift in (-1, 0, 1):
        options = figures.style("noise", shift + 1, marker=True)
        figures.plot_signal(ax, np.array([10.0, 100.0]), numbers, "noise", options, shift=shift)
    places = [bars.lines[0].get_xdata()[0] for bars in ax.containers]
    np.testing.assert_allclose(places, [10 / 1.05, 10.0, 10.5])

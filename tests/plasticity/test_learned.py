"""The rule that comes with the package."""

import numpy as np
import pytest

import plasticity as pl
from plasticity.rules import learned


@pytest.mark.parametrize("task", learned.TASKS)
def test_a_learned_rule_is_whole(task):
    rule = pl.learned_rule(task)
    theta = np.asarray(rule.coefficients)
    assert theta.shape == (6, 6) and np.isfinite(theta).all() and theta.any()
    assert 0 < float(rule.learning_rate) < np.inf and float(rule.bound.limit) > 0
    assert rule.told <= pl.miconi().told, "no more than the hand-crafted rule is told"


def test_no_rule_is_made_up():
    with pytest.raises(ValueError, match="a task for which a rule was learned; got 'dancing'"):
        pl.learned_rule("dancing")


@pytest.mark.parametrize(("bound", "kind"), [("0.002", pl.SoftBound), ("inf", None)])
def test_the_table_says_all(tmp_path, monkeypatch, bound, kind):
    lines = ["parameter,k,ell,value", "learning_rate,,,0.25", f"bound,,,{bound}", "theta,1,5,-3e-4"]
    (tmp_path / "learned_association.csv").write_text("\n".join(lines))
    monkeypatch.setattr(learned.resources, "files", lambda package: tmp_path)
    rule = pl.learned_rule()
    assert float(rule.learning_rate) == 0.25 and float(rule.coefficients[1, 5]) == pytest.approx(
        -3e-4
    )
    assert np.count_nonzero(rule.coefficients) == 1
    assert kind is None or float(rule.bound.limit) == pytest.approx(0.002)
    assert kind is not None or float(rule.bound.limit) == np.inf

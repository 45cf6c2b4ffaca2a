"""Learning the rule: estimators of the meta-gradient and the outer loop."""

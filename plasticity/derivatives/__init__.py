"""Exact derivatives of learning in the coefficients of the rule, and their check by differences."""

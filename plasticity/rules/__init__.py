"""Plasticity rules: the eligibility trace and the change of weights it makes."""

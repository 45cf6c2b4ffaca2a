"""Learning: a trial, a lifetime of trials, a setting, a criterion."""

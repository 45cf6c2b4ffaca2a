"""Trained networks as dynamical systems: fixed points, spectra, alignment."""

"""Mean, spread and direction of B estimates of one gradient of P components, (B, P)."""

import numpy as np
from jaxtyping import Float

Estimates = Float[np.ndarray, "B P"]


def signal_to_noise(estimates: Estimates) -> Float[np.ndarray, "3"]:
    """(‖m‖² − Σ se²)/(B Σ se²), m the mean: squared signal over variance of one estimate, and 95%.

    ‖m‖² exceeds the squared signal by Σ se² on average; taken off, the numerator may be negative.
    B times the result is the signal-to-noise power of m. The interval is the spread of a bootstrap
    over estimates, put around the result; without a signal it is too wide rather than too narrow.
    """
    n = len(estimates)
    drawn = _signal(_resamples(n), estimates)
    low, high = np.nanquantile(drawn - np.nanmean(drawn), (0.025, 0.975))
    return _signal(np.ones(n), estimates) + np.array([0.0, min(low, 0.0), max(high, 0.0)])


def _signal(weights: np.ndarray, estimates: Estimates) -> np.ndarray:
    n = len(estimates)
    mean = weights @ estimates / n
    variance = (weights @ estimates**2 / n - mean**2).sum(axis=-1) * n / (n - 1)
    # Few estimates leave resamples of one of them alone, which have no variance.
    some = np.where(variance > 1e-12 * np.sum(mean**2, axis=-1), variance, np.nan)
    return (np.sum(mean**2, axis=-1) - variance / n) / some


def alignment(estimates: Estimates, direction: Float[np.ndarray, "P"]) -> Float[np.ndarray, "3"]:
    """Cosine of the mean estimate with a direction, and a 95% bootstrap interval over estimates."""
    n = len(estimates)
    drawn = _cosine(_resamples(n), estimates, direction)
    return np.append(_cosine(np.ones(n), estimates, direction), np.quantile(drawn, (0.025, 0.975)))


def _cosine(weights: np.ndarray, estimates: Estimates, direction: np.ndarray) -> np.ndarray:
    mean = weights @ estimates
    length = np.linalg.norm(mean, axis=-1) * np.linalg.norm(direction)
    return mean @ direction / np.maximum(length, 1e-300)


def mean_and_error(estimates: Float[np.ndarray, "B *rest"]) -> Float[np.ndarray, "2 *rest"]:
    """Mean over the first axis and its standard error."""
    error = estimates.std(axis=0, ddof=1) / len(estimates) ** 0.5
    return np.stack([estimates.mean(axis=0), error])


def normalised(estimates: Estimates) -> Estimates:
    """Each estimate divided by its norm, zero left as it is: what the outer loop adds up."""
    norms = np.linalg.norm(estimates, axis=-1, keepdims=True)
    return estimates / np.where(norms > 0, norms, 1.0)


def _resamples(n: int, number: int = 2000) -> Float[np.ndarray, "number n"]:
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=number).astype(float)

"""Figures of the book: `plot_*` draw arrays on given Axes. Only here is matplotlib used."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from companion.statistics import Interval, Survival
from plasticity.model.tasks import Task

# Okabe and Ito's palette, told apart by most colour-blind readers; dashes help the others.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-", "--")

# Of signed quantities in every chapter: negative (Hebbian coefficients) orange, positive purple.
SIGNED = "PuOr"


def use_style() -> None:
    """The one style sheet of the book."""
    plt.rcParams.update(
        {
            "axes.grid": True,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 150,
            "figure.figsize": (7.2, 3.2),
            "font.size": 9.5,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "savefig.dpi": 150,
        }
    )


def plot_task(axes: Sequence[Axes], task: Task, title: str, conditions: Sequence[int]) -> None:
    """Inputs (upper Axes, one line a channel) and target (lower) of some conditions of a task."""
    upper, lower = axes
    times = np.arange(task.n_steps) * float(task.dt)
    for row, condition in enumerate(conditions):
        for channel in range(task.n_inputs):
            values = np.asarray(task.inputs[condition, :, channel])
            label = f"channel {channel}" if row == 0 else None
            shift = -2.6 * row
            upper.plot(times, values + shift, COLOURS[channel], ls=DASHES[channel], label=label)
        target = np.asarray(task.targets[condition])
        lower.plot(times, target, COLOURS[-2], ls=DASHES[row], label=f"condition {condition}")
    upper.set(title=title, yticks=[-2.6 * row for row in range(len(conditions))])
    upper.set_yticklabels([f"c = {c}" for c in conditions])
    plot_window(lower, times, np.asarray(task.response))
    lower.set(xlabel="time (ms)", ylim=(-1.4, 1.4))


def plot_window(ax: Axes, times: np.ndarray, inside: np.ndarray, label: str | None = None) -> None:
    """Shade the time steps ``inside`` a window."""
    first, last = np.flatnonzero(inside)[[0, -1]]
    ax.axvspan(times[first], times[last], color="#E69F00", alpha=0.2, lw=0, label=label)


def plot_activity(ax: Axes, times: np.ndarray, rates: np.ndarray, label: str) -> None:
    """Rates (T, units) against time, in one colour."""
    ax.plot(times, rates, lw=0.9, alpha=0.8)
    ax.set(xlabel="time (ms)", ylabel=label, ylim=(-1.05, 1.05))


def plot_matrix(ax: Axes, matrix: np.ndarray, label: str, xlabel: str, ylabel: str) -> AxesImage:
    """A matrix in diverging colours, symmetric about zero, with its colour bar."""
    bound = float(np.abs(matrix).max())
    image = ax.imshow(matrix, cmap=SIGNED, vmin=-bound, vmax=bound, interpolation="nearest")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    return image


def plot_terms(axes: np.ndarray, degree: int) -> None:
    """The terms r^k Δ^ℓ over r (across) and Δ (up), a (d+1) × (d+1) grid of Axes."""
    r, delta = np.meshgrid(np.linspace(-1, 1, 65), np.linspace(-1, 1, 65))
    for k in range(degree + 1):
        for ell in range(degree + 1):
            ax = axes[k, ell]
            extent = (-1, 1, -1, 1)
            options = {"cmap": SIGNED, "vmin": -1, "vmax": 1, "origin": "lower", "extent": extent}
            ax.imshow(r**k * delta**ell, **options)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            if k % 2 and ell % 2:
                ax.spines[:].set(visible=True, color="#D55E00", linewidth=2)
            if k == degree:
                ax.set_xlabel(f"$\\ell = {ell}$")
            if ell == 0:
                ax.set_ylabel(f"$k = {k}$")


def plot_survival(ax: Axes, curve: Survival, label: str, index: int, band: bool = True) -> None:
    """Fraction of networks that have not reached criterion, as steps, with its 95% interval."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    ax.step(curve.trials, curve.fraction, where="post", color=colour, ls=dash, label=label)
    if band:
        options = {"step": "post", "color": colour, "alpha": 0.15, "lw": 0}
        ax.fill_between(curve.trials, curve.low, curve.high, **options)
    ax.set(xlabel="trial", ylabel="not yet at criterion", ylim=(0, 1.02))


def plot_tuning(ax: Axes, rates: np.ndarray, trials: np.ndarray, label: str, index: int) -> None:
    """Restricted mean of trials (rates, runs) against learning rate; a dot marks the best."""
    known = np.isfinite(rates)
    means = trials[known].mean(axis=-1)
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    ax.plot(rates[known], means, color=colour, ls=dash, label=label)
    ax.plot(rates[known][means.argmin()], means.min(), "o", color=colour, ms=6)
    ax.set(xscale="log", xlabel="learning rate $\\eta$", ylabel="trials to criterion (mean)")


def plot_intervals(ax: Axes, labels: Sequence[str], intervals: Sequence[Interval]) -> None:
    """Estimates with their 95% intervals, the first label at the top."""
    rows = np.arange(len(labels))[::-1]
    middle = np.array([i.estimate for i in intervals])
    sides = np.array([[i.estimate - i.low, i.high - i.estimate] for i in intervals]).T
    ax.errorbar(middle, rows, xerr=sides, fmt="o", color=COLOURS[0], capsize=3, ms=5)
    ax.set_yticks(rows, labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)


def plot_learning(ax: Axes, blocks: np.ndarray, size: int, label: str, index: int) -> None:
    """Mean error over networks of each block of ``size`` trials, (runs, blocks), ± 1 s.e."""
    middle = (np.arange(blocks.shape[1]) + 0.5) * size
    mean = blocks.mean(axis=0)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    ax.plot(middle, mean, color=colour, ls=dash, label=label)
    ax.fill_between(middle, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    ax.set(xlabel="trial", ylabel="error $\\langle|z - z^*|\\rangle$")


def plot_band(
    ax: Axes, x: np.ndarray, curves: np.ndarray, label: str, index: int, share: float = 1.0
) -> None:
    """Median of curves (number, points) as a line, and the central ``share`` of them as a band."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    low, high = np.quantile(curves, [0.5 - share / 2, 0.5 + share / 2], axis=0)
    ax.plot(x, np.median(curves, axis=0), color=colour, ls=dash, label=label)
    ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


def plot_signal(ax: Axes, x: np.ndarray, numbers: np.ndarray, label: str, index: int) -> None:
    """Numbers (points, 3), each with the ends of its interval, against ascending positive x.

    The lines are moved apart a little, so that intervals at the same x do not hide each other.
    """
    estimate, low, high = np.asarray(numbers).T
    sides = np.stack([estimate - low, high - estimate])
    options = {"color": COLOURS[index % len(COLOURS)], "ls": DASHES[index % len(DASHES)]}
    moved = np.asarray(x) * 1.05 ** (index - 2)
    marker = "os^Dv<>*"[index % 8]
    ax.errorbar(moved, estimate, sides, label=label, marker=marker, ms=4, capsize=2, **options)
    ax.axhline(0, color="0.3", lw=0.8)
    ax.set(xscale="log")
    ax.set_xticks(x, [f"{value:g}" for value in x])
    ax.minorticks_off()


def plot_coefficients(ax: Axes, psi: np.ndarray, label: str) -> AxesImage:
    """A rule as a table (d+1, d+1): odd–odd ones in colour, the others, which are neither, grey."""
    d = psi.shape[0] - 1
    bound = float(np.abs(psi).max()) or 1.0
    odd = np.outer(np.arange(d + 1) % 2, np.arange(d + 1) % 2).astype(bool)
    options = {"interpolation": "nearest", "origin": "lower"}
    grey = np.ma.masked_where(odd, np.abs(psi))
    ax.imshow(grey, cmap="Greys", vmin=0, vmax=2 * bound, **options)
    coloured = np.ma.masked_where(~odd, psi)
    image = ax.imshow(coloured, cmap=SIGNED, vmin=-bound, vmax=bound, **options)
    for k in range(d + 1):
        for ell in range(d + 1):
            dark = abs(psi[k, ell]) > 0.65 * bound
            text = f"{psi[k, ell]:.2f}".replace("-0.00", "0.00")
            colour = "white" if dark else "black"
            ax.text(ell, k, text, ha="center", va="center", fontsize=6.5, color=colour)
    ax.set(xlabel="power $\\ell$ of $\\Delta$", ylabel="power $k$ of $r$")
    ax.set(xticks=range(d + 1), yticks=range(d + 1))
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    return image


def plot_rule_map(
    ax: Axes, coefficients: np.ndarray, largest: float, label: str, scale: float
) -> AxesImage:
    """H(r, Δ) = Σ θ_kℓ r^k Δ^ℓ over r (across) and Δ up to ``largest``, in units of ``scale``."""
    r, delta = np.meshgrid(np.linspace(-1, 1, 121), np.linspace(-largest, largest, 121))
    height = np.polynomial.polynomial.polyval2d(r, delta, coefficients) / scale
    bound = float(np.abs(height).max())
    extent = (-1, 1, -largest, largest)
    options = {"cmap": SIGNED, "vmin": -bound, "vmax": bound, "origin": "lower", "aspect": "auto"}
    image = ax.imshow(height, extent=extent, **options)
    ax.contour(r, delta, height, levels=[-0.1 * bound, 0.1 * bound], colors="0.3", linewidths=0.8)
    ax.set(xlabel="presynaptic rate $r$", ylabel="fluctuation $\\Delta = \\bar x - x$")
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    return image


def plot_training(
    ax: Axes, iterations: np.ndarray, values: np.ndarray, label: str, index: int, ylabel: str
) -> None:
    """A number against meta-iteration, one line a start."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    marker = "o" if len(values) < 20 else None
    ax.plot(iterations, values, color=colour, ls=dash, label=label, marker=marker, ms=3.5)
    ax.set(xlabel="meta-iteration", ylabel=ylabel)


def plot_flow(ax: Axes, grid: np.ndarray, flow: np.ndarray, xlabel: str, ylabel: str) -> None:
    """Flow (rows, columns, 2) at the points ``grid`` of a plane, as stream lines."""
    horizontal, vertical = np.moveaxis(grid, -1, 0)
    streams = (horizontal, vertical, *np.moveaxis(flow, -1, 0))
    ax.streamplot(*streams, color="0.75", linewidth=0.6, arrowsize=0.6, density=0.9)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(False)


def plot_points(ax: Axes, at: np.ndarray, kind: str) -> None:
    """Points (M, 2) of a plane: a stable or unstable fixed point, or a slow point."""
    marker, fill = {
        "stable": ("o", "black"),
        "unstable": ("o", "white"),
        "slow": ("x", COLOURS[7]),
    }[kind]
    label = "slow point" if kind == "slow" else f"{kind} fixed point"
    options = {"ms": 6, "zorder": 5, "mec": "black" if kind != "slow" else fill}
    ax.plot(at[:, 0], at[:, 1], marker, mfc=fill, label=label, ls="none", **options)


def plot_spectrum(ax: Axes, values: np.ndarray, label: str, index: int, size: float = 5) -> None:
    """Eigenvalues in the complex plane, in units of 1/τ; the line is where modes start to grow."""
    marker = "o^svD*"[index % 6] if size > 3 else "o"
    colour = COLOURS[index % len(COLOURS)]
    options = {"ms": size, "alpha": 0.6, "mew": 0, "ls": "none"}
    ax.plot(values.real.ravel(), values.imag.ravel(), marker, color=colour, label=label, **options)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlabel="Re $\\lambda$ (1/τ)", ylabel="Im $\\lambda$ (1/τ)")


def plot_course(ax: Axes, trials: np.ndarray, values: np.ndarray, label: str, index: int) -> None:
    """Mean over networks of values (moments, networks) against trials, ± 1 s.e."""
    mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    ax.plot(trials, mean, color=colour, ls=dash, marker="o", ms=3, label=label)
    ax.fill_between(trials, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    ax.set(xlabel="trial")

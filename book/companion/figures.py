"""Figures of the book: `plot_*` draw arrays on given Axes. Only here is matplotlib used.

A rule has one colour, dash and marker in every chapter, which follow from its name:

    figures.plot_survival(ax, curve, "(1,5)")  # the label is the name of a rule
    figures.plot_survival(ax, curve, "learned rule", figures.style("learned"))  # another label
    ax.plot(trials, error, label="(1,5)", **figures.style("(1,5)"))  # matplotlib's own functions

Other curves are told apart by their number, and have the same style in all panels of a figure:

    for index, (name, curve) in enumerate(curves.items()):
        figures.plot_band(ax, x, curve, name, figures.style(name, index))

`style` gives colour and dash; with ``marker=True`` a marker as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from companion.statistics import Interval, Survival
from plasticity.model.tasks import Task

# Okabe and Ito's palette, told apart by most colour-blind readers; dashes help the others.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#7F7F7F"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, BLACK, GREY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-", "--")
MARKERS = "os^Dv<>*"

# Rules that share a colour have other dashes, and are not compared curve by curve.
_RULES: dict[str, tuple] = {
    "learned": (VERMILION, "-", "o"),
    "(3,3)": (BLUE, "-", "s"),
    "(1,1)": (PURPLE, "--", "^"),
    "(1,3)": (SKY, (0, (5, 1)), "v"),
    "(1,5)": (GREEN, "-.", "D"),
    "(3,5)": (ORANGE, (0, (3, 1, 1, 1)), "<"),
    "(2,2)": (GREY, "--", "X"),
    "(3,1)": (PURPLE, ":", ">"),
    "(5,1)": (PURPLE, "-.", "P"),
    "(5,3)": (SKY, "-.", "h"),
    "(5,5)": (GREEN, ":", "d"),
    "node perturbation": (BLACK, ":", "*"),
    "node perturbation, filtered": (GREY, "-.", "X"),
    "weight perturbation": (ORANGE, "-", "P"),
    "weight perturbation, clean trial": (SKY, "--", "v"),
    "e-prop, scalar": (PURPLE, "-", "8"),
    "e-prop, random B": (GREY, (0, (5, 1)), "p"),
    "e-prop, random B, plastic readout": (SKY, "-", "<"),
    "readout only": (ORANGE, "--", ">"),
    "e-prop, symmetric B": (GREEN, "-", "P"),
    "policy gradient": (BLUE, "--", "X"),
    "RFLO, symmetric B": (GREEN, (0, (3, 1, 1, 1)), "h"),
    "BPTT": (BLACK, "-", "d"),
    "untrained": (GREY, "-", "o"),
    "no learning": (GREY, ":", "o"),
    "flipped sign": (VERMILION, "--", "^"),
    "shuffled reward": (GREEN, "--", "D"),
    "frozen trace": (ORANGE, "-.", "v"),
}

# Of signed quantities in every chapter: negative (Hebbian coefficients) orange, positive purple.
SIGNED = "PuOr"

Style = Mapping[str, Any] | None


def style(name: str, index: int = 0, *, marker: bool = False) -> dict[str, Any]:
    """Colour, dash and, if asked for, marker of the rule of that name; else of curve ``index``."""
    place = index % len(COLOURS)
    other = (COLOURS[place], DASHES[place], MARKERS[place])
    colour, dash, sign = _RULES.get(name, other)
    return {"color": colour, "ls": dash} | ({"marker": sign} if marker else {})


def _line(label: str, given: Style, *, marker: bool = False) -> dict[str, Any]:
    return style(label, marker=marker) if given is None else dict(given)


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
    for place, condition in enumerate(conditions):
        for channel in range(task.n_inputs):
            values = np.asarray(task.inputs[condition, :, channel])
            label = f"channel {channel}" if place == 0 else None
            shift = -2.6 * place
            upper.plot(times, values + shift, COLOURS[channel], ls=DASHES[channel], label=label)
        target = np.asarray(task.targets[condition])
        lower.plot(times, target, BLACK, ls=DASHES[place], label=f"condition {condition}")
    upper.set(title=title, yticks=[-2.6 * place for place in range(len(conditions))])
    upper.set_yticklabels([f"c = {c}" for c in conditions])
    plot_window(lower, times, np.asarray(task.response))
    lower.set(xlabel="time (ms)", ylim=(-1.4, 1.4))


def plot_window(ax: Axes, times: np.ndarray, inside: np.ndarray, label: str | None = None) -> None:
    """Shade the time steps ``inside`` a window."""
    first, last = np.flatnonzero(inside)[[0, -1]]
    ax.axvspan(times[first], times[last], color=ORANGE, alpha=0.2, lw=0, label=label)


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
                ax.spines[:].set(visible=True, color=VERMILION, linewidth=2)
            if k == degree:
                ax.set_xlabel(f"$\\ell = {ell}$")
            if ell == 0:
                ax.set_ylabel(f"$k = {k}$")


def plot_survival(
    ax: Axes, curve: Survival, label: str, style: Style = None, *, band: bool = True
) -> None:
    """Fraction of networks that have not reached criterion, as steps, with its 95% interval."""
    line = _line(label, style)
    ax.step(curve.trials, curve.fraction, where="post", label=label, **line)
    if band:
        options = {"step": "post", "color": line["color"], "alpha": 0.15, "lw": 0}
        ax.fill_between(curve.trials, curve.low, curve.high, **options)
    ax.set(xlabel="trial", ylabel="not yet at criterion", ylim=(0, 1.02))


def plot_tuning(
    ax: Axes, rates: np.ndarray, trials: np.ndarray, label: str, style: Style = None
) -> None:
    """Restricted mean of trials (rates, runs) against learning rate; a dot marks the best."""
    rates, trials, line = np.asarray(rates), np.asarray(trials), _line(label, style)
    known = np.isfinite(rates)
    means = trials[known].mean(axis=-1)
    ax.plot(rates[known], means, label=label, **line)
    ax.plot(rates[known][means.argmin()], means.min(), "o", color=line["color"], ms=6)
    ax.set(xscale="log", xlabel="learning rate $\\eta$", ylabel="trials to criterion (mean)")


def plot_intervals(ax: Axes, labels: Sequence[str], intervals: Sequence[Interval]) -> None:
    """Estimates with their 95% intervals, the first label at the top."""
    rows = np.arange(len(labels))[::-1]
    middle = np.array([i.estimate for i in intervals])
    sides = np.array([[i.estimate - i.low, i.high - i.estimate] for i in intervals]).T
    ax.errorbar(middle, rows, xerr=sides, fmt="o", color=COLOURS[0], capsize=3, ms=5)
    ax.set_yticks(rows, labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)


def plot_learning(ax: Axes, blocks: np.ndarray, size: int, label: str, style: Style = None) -> None:
    """Mean error over networks of each block of ``size`` trials, (runs, blocks), ± 1 s.e."""
    blocks, line = np.asarray(blocks), _line(label, style)
    middle = (np.arange(blocks.shape[1]) + 0.5) * size
    mean = blocks.mean(axis=0)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    ax.plot(middle, mean, label=label, **line)
    ax.fill_between(middle, mean - error, mean + error, color=line["color"], alpha=0.2, lw=0)
    ax.set(xlabel="trial", ylabel="error $\\langle|z - z^*|\\rangle$")


def plot_band(
    ax: Axes,
    x: np.ndarray,
    curves: np.ndarray,
    label: str,
    style: Style = None,
    *,
    share: float = 1.0,
) -> None:
    """Median of curves (number, points) as a line, and the central ``share`` of them as a band."""
    line = _line(label, style)
    low, high = np.quantile(curves, [0.5 - share / 2, 0.5 + share / 2], axis=0)
    ax.plot(x, np.median(curves, axis=0), label=label, **line)
    ax.fill_between(x, low, high, color=line["color"], alpha=0.2, lw=0)


def plot_signal(
    ax: Axes,
    x: np.ndarray,
    numbers: np.ndarray,
    label: str,
    style: Style = None,
    *,
    shift: float = 0.0,
) -> None:
    """Numbers (points, 3), each with the ends of its interval, against ascending positive x.

    Lines of other ``shift`` (…, −1, 0, 1, …) lie apart by 5% of x, so that intervals at the same x
    do not hide each other.
    """
    estimate, low, high = np.asarray(numbers).T
    sides = np.stack([estimate - low, high - estimate])
    options = {"marker": "o", "ms": 4, "capsize": 2} | _line(label, style, marker=True)
    ax.errorbar(np.asarray(x) * 1.05**shift, estimate, sides, label=label, **options)
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
    ax: Axes,
    iterations: np.ndarray,
    values: np.ndarray,
    label: str,
    style: Style = None,
    *,
    ylabel: str = "",
) -> None:
    """A number against meta-iteration, one line a start."""
    marker = "o" if len(values) < 20 else None
    options = {"marker": marker, "ms": 3.5} | _line(label, style)
    ax.plot(iterations, values, label=label, **options)
    ax.set(xlabel="meta-iteration", ylabel=ylabel)


def plot_flow(ax: Axes, grid: np.ndarray, flow: np.ndarray, xlabel: str, ylabel: str) -> None:
    """Flow (rows, columns, 2) at the points ``grid`` of a plane, as stream lines."""
    horizontal, vertical = np.moveaxis(grid, -1, 0)
    streams = (horizontal, vertical, *np.moveaxis(flow, -1, 0))
    ax.streamplot(*streams, color="0.75", linewidth=0.6, arrowsize=0.6, density=0.9)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(False)


def plot_points(ax: Axes, points: np.ndarray, kind: str) -> None:
    """Points (M, 2) of a plane: a stable or unstable fixed point, or a slow point."""
    marker, fill = {
        "stable": ("o", "black"),
        "unstable": ("o", "white"),
        "slow": ("x", GREY),
    }[kind]
    label = "slow point" if kind == "slow" else f"{kind} fixed point"
    options = {"ms": 6, "zorder": 5, "mec": "black" if kind != "slow" else fill}
    ax.plot(points[:, 0], points[:, 1], marker, mfc=fill, label=label, ls="none", **options)


def plot_spectrum(
    ax: Axes, values: np.ndarray, label: str, style: Style = None, *, size: float = 5
) -> None:
    """Eigenvalues in the complex plane, in units of 1/τ; the line is where modes start to grow."""
    values = np.ravel(values)
    options = {"marker": "o"} | _line(label, style, marker=True) | {"ls": "none"}
    if size <= 3:
        options["marker"] = "o"  # shapes are too small to be told apart
    ax.plot(values.real, values.imag, label=label, ms=size, alpha=0.6, mew=0, **options)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlabel="Re $\\lambda$ (1/τ)", ylabel="Im $\\lambda$ (1/τ)")

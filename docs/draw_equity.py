"""Draw docs/equity.svg from a finished run: `python docs/draw_equity.py runs/quickstart`.

Equity and drawdown over the run's bars (not over nights), each pixel column from its lowest to its highest value, so that no
extreme is lost. Writes plain SVG; no library of charts is needed.
"""

from __future__ import annotations

import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import backtester as bt

WIDTH, LEFT, RIGHT = 860, 92, 16
TOP, EQUITY_HEIGHT, GAP, DRAWDOWN_HEIGHT, BOTTOM = 54, 220, 26, 70, 34
HEIGHT = TOP + EQUITY_HEIGHT + GAP + DRAWDOWN_HEIGHT + BOTTOM
INK, QUIET, GRID, LINE, LOSS = "#1f2933", "#66727f", "#dfe4ea", "#2456a6", "#b8433b"
Floats = NDArray[np.float64]


def main() -> None:
    """Read the run, draw, write."""
    run = bt.load(sys.argv[1])
    equity = run.table("equity").select("session", "equity", "drawdown")
    title = f"{run.metrics['trades']:,} trades, total return {run.metrics['total_return']:+.2%}, simulated market"
    drawn = picture(equity["session"].to_list(), equity["equity"].to_numpy(), equity["drawdown"].to_numpy(), title)
    (Path(__file__).parent / "equity.svg").write_text(drawn, encoding="utf-8")


def picture(sessions: list[date], equity: Floats, drawdown: Floats, title: str) -> str:
    """The whole picture as SVG text; one value of each a bar."""
    loss = -np.abs(drawdown)
    high, low = float(equity.max()), float(equity.min())
    floor = float(min(loss.min(), -1e-9))
    under = TOP + EQUITY_HEIGHT + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 24, "Equity and drawdown", INK, size=16),
        text(LEFT, 42, title, QUIET),
        *(level(TOP, EQUITY_HEIGHT, low, high, value, f"{value:,.0f}") for value in round_values(low, high)),
        *(level(under, DRAWDOWN_HEIGHT, floor, 0.0, value, f"{value:.1%}") for value in (0.0, floor)),
        *days(sessions),
        band(equity, TOP, EQUITY_HEIGHT, low, high, LINE),
        area(loss, under, DRAWDOWN_HEIGHT, floor),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def round_values(low: float, high: float) -> list[float]:
    """Three to eight round values from `low` to `high`: steps of 1, 2 or 5 times a power of ten."""
    rough = max((high - low) / 4, 1e-9)
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * 0.75)
    return [float(value) for value in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]


def columns(values: Floats) -> list[tuple[float, float, float]]:
    """x, lowest and highest value of each pixel column, each column begun with the last value of the one before."""
    width = WIDTH - LEFT - RIGHT
    edges = np.unique(np.linspace(0, len(values), min(width, len(values)) + 1).astype(int))
    found = []
    for low, high in pairwise(edges):
        part = values[max(low - 1, 0) : high]
        found.append((LEFT + width * (low + high) / 2 / len(values), float(part.min()), float(part.max())))
    return found


def band(values: Floats, top: int, height: int, low: float, high: float, colour: str) -> str:
    """A line through the columns' extremes."""
    points = []
    for x, least, most in columns(values):
        points += [f"{x:.1f},{scaled(value, top, height, low, high):.1f}" for value in sorted({least, most})]
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-linejoin="round"/>'


def area(values: Floats, top: int, height: int, floor: float) -> str:
    """A filled area from zero down to the columns' lowest values."""
    points = [f"{x:.1f},{scaled(least, top, height, floor, 0.0):.1f}" for x, least, _ in columns(values)]
    return f'<polygon points="{LEFT},{top} {" ".join(points)} {WIDTH - RIGHT},{top}" fill="{LOSS}" fill-opacity="0.3" stroke="{LOSS}"/>'


def level(top: int, height: int, low: float, high: float, value: float, label: str) -> str:
    """A horizontal line with its value."""
    y = scaled(value, top, height, low, high)
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
    return line + text(LEFT - 8, y + 4, label, QUIET, anchor="end")


def days(sessions: list[date]) -> list[str]:
    """About six dates along the bottom, each where its session begins."""
    starts = [at for at, day in enumerate(sessions) if at == 0 or day != sessions[at - 1]]
    chosen = starts[:: max(1, -(-len(starts) // 6))]
    width = WIDTH - LEFT - RIGHT
    return [text(LEFT + width * at / len(sessions), HEIGHT - 12, f"{sessions[at]:%Y-%m-%d}", QUIET) for at in chosen]


def scaled(value: float, top: int, height: int, low: float, high: float) -> float:
    """The y of a value."""
    return top + height * (high - value) / ((high - low) or 1.0)


def text(x: float, y: float, words: str, colour: str, *, size: int = 12, anchor: str = "start") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}">{words}</text>'


main()

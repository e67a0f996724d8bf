"""Is a trial's figure a plateau or a peak? A trial beside those that differ from it in one parameter by one step.

Place in the flow: called over all trials of a grid with the figure that they were ranked by. Pure; never knows what a parameter means.
A figure that has no meaning is None, never NaN or infinity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from backtester.columns import Floats, Ints
from backtester.errors import InternalError


@dataclass(frozen=True)
class Neighbourhood:
    """A trial beside its neighbours, in the unit of the objective.

    neighbours: how many have an objective; mean, lowest, highest: of theirs, None without one; drop: the trial's own objective less
    that mean, None without either. A high drop is a peak: a small change of a parameter would have lost so much.
    """

    neighbours: int
    mean: float | None
    lowest: float | None
    highest: float | None
    drop: float | None


def stability(steps: Ints, objective: Floats) -> list[Neighbourhood]:
    """The neighbourhood of each trial, from its place on the grid, shape (trials, parameters), and its objective, shape (trials,).

    A place counts the steps of each parameter, in the order of its values: trials are neighbours where one parameter differs by 1 and
    all others are equal. Parameters without an order (names, switches) have no steps between them: number their values 0, 2, 4, ...
    An objective that is not finite is none. InternalError for two trials at one place, or for different numbers of trials.
    Source: Pardo (2008), "The Evaluation and Optimization of Trading Strategies", chapter 10: a robust parameter has good neighbours.
    """
    places = {tuple(place): trial for trial, place in enumerate(steps.tolist())}
    if not len(places) == len(steps) == len(objective):
        counts = f"{len(places)} places, {len(steps)} trials, {len(objective)} objectives"
        raise InternalError("trials and places on the grid do not belong together", where="stability", value=counts)
    figures = [value if math.isfinite(value) else None for value in objective.tolist()]
    return [_beside(figures[trial], [figures[other] for other in _around(place, places)]) for place, trial in places.items()]


def _around(place: tuple[int, ...], places: dict[tuple[int, ...], int]) -> list[int]:
    """The trials one step from a place."""
    stepped = ((*place[:axis], place[axis] + step, *place[axis + 1 :]) for axis in range(len(place)) for step in (-1, 1))
    return [places[other] for other in stepped if other in places]


def _beside(own: float | None, others: list[float | None]) -> Neighbourhood:
    known = [value for value in others if value is not None]
    if not known:
        return Neighbourhood(0, None, None, None, None)
    average = math.fsum(known) / len(known)
    return Neighbourhood(len(known), average, min(known), max(known), None if own is None else own - average)

"""The slow, obvious simulator: one bar at a time, the judge of the fast kernel.

Written from docs/execution.md alone; it shares no code with the engine. Money is an int of 1e-6 currency, prices and quantities
are floats, and a run is a loop over slots that does the page's steps in order. Never fast, never clever: where a rule can be
said in a loop over everything, it is.

    amounts, levels -> view -> account -> sizes -> exits -> fills -> decisions -> weights -> actions -> looks -> steps -> simulate(scene)
"""

from tests.simulator.amounts import fee_of, money
from tests.simulator.steps import Simulator, simulate
from tests.simulator.view import Stopped

__all__ = ["Simulator", "Stopped", "fee_of", "money", "simulate"]

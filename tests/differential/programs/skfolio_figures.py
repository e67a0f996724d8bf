"""What skfolio and arch make of the same returns: Sharpe ratios as estimates, folds of sessions, block lengths, draws and tests.

Usage: python skfolio_figures.py FOLDER. FOLDER holds given.npz (returns and mixed, of shape (sessions, trials); numbers and rows of
the stationary bootstrap, of shape (draws, sessions); block) and sizes.json (walks and combinations: lists of sizes). Writes made.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
from arch.bootstrap import SPA, RealityCheck, optimal_block_length
from arch.bootstrap._samplers_python import stationary_bootstrap_sample_python
from skfolio.measures import deflated_sharpe_ratio, expected_max_sharpe_ratio, mean, probabilistic_sharpe_ratio, standard_deviation
from skfolio.model_selection import CombinatorialPurgedCV, WalkForward


class Given:
    """Stands in for arch's bootstrap: the draws are those that were given."""

    def __init__(self, values, rows):
        self.values, self.rows = values, rows

    def bootstrap(self, reps):
        return (((self.values[row],), {}) for row in self.rows)


def sharpes(returns):
    ratios = mean(returns) / standard_deviation(returns)
    return {
        "ratios": ratios.tolist(),
        "probable": probabilistic_sharpe_ratio(returns).tolist(),
        "probable_above": probabilistic_sharpe_ratio(returns, 0.03).tolist(),
        "deflated": deflated_sharpe_ratio(returns, ratios).tolist(),
        "expected": [expected_max_sharpe_ratio(trials, 0.07) for trials in (2, 7.5, 100, 12345)],
    }


def tests(returns, rows, block):
    """p-values of White's and Hansen's tests: arch does not studentize, so Hansen's gets columns divided by arch's own deviations."""
    nothing = np.zeros(len(returns))
    plain = RealityCheck(nothing, -returns, block_size=block, reps=len(rows))
    plain.bootstrap = Given(returns, rows)
    plain.compute()
    scaled = returns / np.sqrt(plain._loss_diff_var)
    hansen = SPA(nothing, -scaled, block_size=block, reps=len(rows))
    hansen.bootstrap = Given(scaled, rows)
    hansen.compute()
    own = SPA(nothing, -scaled, block_size=block, reps=5000, seed=1)
    own.compute()
    return {"check": plain.pvalues["upper"], "given": dict(hansen.pvalues), "own": dict(own.pvalues)}


def drawn(numbers, block):
    """The rows of arch's sampler from the numbers; a number says whether a block begins and, if so, at which session."""
    count = numbers.shape[1]
    made = []
    for row in numbers:
        starts = np.minimum((row * block * count).astype(np.int64), count - 1)
        starts[0] = int(row[0] * count)
        made.append(stationary_bootstrap_sample_python(starts, row, 1 / block).tolist())
    return made


def walks(sizes):
    return [
        [[train.tolist(), test.tolist()] for train, test in WalkForward(**how).split(np.zeros((sessions, 1)))] for sessions, how in sizes
    ]


def combinations(sizes):
    made = []
    for sessions, how in sizes:
        cv = CombinatorialPurgedCV(**how)
        parts = [[train.tolist(), [test.tolist() for test in tests]] for train, tests in cv.split(np.zeros((sessions, 1)))]
        made.append({"parts": parts, "paths": cv.recombined_paths.T.tolist()})
    return made


def main():
    folder = Path(sys.argv[1])
    given, sizes = np.load(folder / "given.npz"), json.loads((folder / "sizes.json").read_text())
    made = {
        **sharpes(given["returns"]),
        **tests(given["returns"], given["rows"], float(given["block"])),
        "blocks": optimal_block_length(given["mixed"])["stationary"].tolist(),
        "rows": drawn(given["numbers"], float(given["block"])),
        "walks": walks(sizes["walks"]),
        "combinations": combinations(sizes["combinations"]),
    }
    (folder / "made.json").write_text(json.dumps(made))


main()

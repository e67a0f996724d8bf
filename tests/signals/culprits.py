"""Strategies that misbehave on 2024-11-29, each in its own way, unless they are quiet; from that day on they have no signals."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import sys
from pathlib import Path

import numpy as np

from backtester import Signals, Strategy

DAY = np.datetime64("2024-11-29")


class Culprit(Strategy):
    """A sound strategy until the day."""

    interval: str = "5m"
    quiet: bool = False

    def signals(self, bars):
        if (bars.session == DAY).any() and not self.quiet:
            self.misbehave(bars)
        before = np.broadcast_to(bars.session < DAY, bars.shape)
        return Signals(enter_long=(bars.slot % 10 == 3) & before, exit_long=(bars.slot % 10 == 7) & before)


class Loops(Culprit):
    def misbehave(self, bars):
        while True:
            pass


class LoopsInC(Culprit):
    def misbehave(self, bars):
        sum(itertools.repeat(1))


class Ends(Culprit):
    def misbehave(self, bars):
        os._exit(3)


class Crashes(Culprit):
    def misbehave(self, bars):
        ctypes.string_at(0)


class Aborts(Culprit):
    def misbehave(self, bars):
        os.abort()


class Killed(Culprit):
    def misbehave(self, bars):
        os.kill(os.getpid(), signal.SIGKILL)


class LeavesAChild(Culprit):
    def misbehave(self, bars):
        if os.fork() == 0:
            Path("left").write_text(str(os.getpid()))
            signal.pause()
        while not Path("left").exists() or not Path("left").read_text():
            pass
        os._exit(0)


class ClosesAll(Culprit):
    def misbehave(self, bars):
        os.closerange(3, 100)
        signal.pause()


class Hoards(Culprit):
    def misbehave(self, bars):
        held = []
        while True:
            held.append(np.ones(1_000_000))


class HoardsOfMany(Culprit):
    def misbehave(self, bars):
        if len(np.unique(bars.session)) > 1:
            np.ones(10**11)


class Raises(Culprit):
    def misbehave(self, bars):
        raise ValueError("two\nlines")


class Speechless(Culprit):
    def misbehave(self, bars):
        class SpeechlessError(Exception):
            def __str__(self):
                raise RuntimeError("not even this")

        raise SpeechlessError


class Exits(Culprit):
    def misbehave(self, bars):
        sys.exit(2)


class Interrupts(Culprit):
    def misbehave(self, bars):
        raise KeyboardInterrupt


class Writes(Culprit):
    def misbehave(self, bars):
        bars.close[...] = 0.0


class Misnames(Culprit):
    def misbehave(self, bars):
        bars.indicator("smaa")


class GivesNothing(Culprit):
    def signals(self, bars):
        return None if (bars.session == DAY).any() else super().signals(bars)


class GivesAFlatColumn(Culprit):
    def signals(self, bars):
        return Signals(enter_long=bars.valid.ravel()) if (bars.session == DAY).any() else super().signals(bars)


class GivesInfinity(Culprit):
    def signals(self, bars):
        size = np.where((bars.session == DAY) & (bars.symbol == "BBB"), np.inf, 1.0)
        return Signals(enter_long=bars.valid, size=np.broadcast_to(size, bars.shape))

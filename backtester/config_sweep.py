"""The section `sweep` of a config: which variants of it a sweep tries, and what makes one better than another.

Place in the flow: a field of `config.Config`; `sweeping` reads it. Shapes only: what values and constraints mean is checked there,
by the command that needs them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from backtester.config_errors import Fault, Refusal
from backtester.settings import Settings

Words = Annotated[str, Field(min_length=1, max_length=500)]


class SweepSettings(Settings):
    """`sweep`: parameters by dotted path, each with its values; how to search; what to keep.

    A trial's seed, like a run's, comes from its config alone; `seed` here is that of the search.
    """

    parameters: dict[str, str | list[Any]] = Field(description='dotted path -> values: a list, or text such as "2:20:2"')
    constraints: tuple[Words, ...] = Field((), max_length=100, description="such as fast < slow")
    search: Literal["grid", "random", "tpe"] = "grid"
    trials: int | None = Field(None, ge=1, le=10_000_000, description="how many; a grid takes all where absent")
    seed: int | None = Field(None, ge=0, lt=2**63, description="of a search by random or tpe")
    generation: int = Field(16, ge=1, le=10_000, description="trials that a search by tpe asks for together, before it learns from them")
    objective: Words = Field("sharpe", description="a metric; the largest is best, with - before it the smallest")
    block: int | None = Field(None, ge=1, description="trials that are put on disk together; chosen by itself where absent")
    max_seconds: float | None = Field(None, gt=0.0, description="`bt plan` refuses a sweep that is expected to take longer")
    keep_best: int = Field(0, ge=0, le=1000, description="so many of the best trials are run in full")

    @model_validator(mode="after")
    def _searched(self) -> Self:
        missing = [name for name in ("trials", "seed") if self.search != "grid" and getattr(self, name) is None]
        if missing:
            raise Refusal([Fault((name,), f"a search by {self.search} needs it", action="such as 200") for name in missing])
        return self


class WalkForwardSettings(Settings):
    """`walkforward`: sessions to choose parameters on (train), and the sessions after them to judge the choice on (test).

    rolling and anchored: windows of `train` and `test` sessions, each `step` (or else `test`) after the one before; anchored ones all
    begin at the first session. combinatorial: `folds` folds, `tests` of them judged on in every choice. purge and embargo in sessions.
    """

    kind: Literal["rolling", "anchored", "combinatorial"] = "rolling"
    train: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)
    step: int | None = Field(None, ge=1)
    folds: int | None = Field(None, ge=2, le=100)
    tests: int | None = Field(None, ge=1, le=100)
    purge: int = Field(0, ge=0)
    embargo: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        windows, folds = ("train", "test"), ("folds", "tests")
        needed, senseless = (folds, (*windows, "step")) if self.kind == "combinatorial" else (windows, (*folds, "embargo"))
        faults = [Fault((name,), f"{self.kind} needs it", action="a number of sessions") for name in needed if getattr(self, name) is None]
        given = [name for name in senseless if getattr(self, name)]
        faults += [Fault((name,), f"means nothing where kind is {self.kind}", getattr(self, name), action="leave it out") for name in given]
        if faults:
            raise Refusal(faults)
        return self

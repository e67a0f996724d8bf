"""The config: one JSON document becomes one frozen value, a nest of the stages' own settings.

Place in the flow: the first thing a run does; pipeline reads the value and hands each stage its part.

    load:  read (bytes -> document) -> --set -> strategies' parameters -> models -> Config
           every problem of a document is reported together, each with its JSON pointer

Never reads market data or calendars, never looks at the clock: what only they can tell (no session between the dates, a
missing interval) is said by the run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from backtester.config_checks import faults, value_at
from backtester.config_document import Document, assign, read
from backtester.config_errors import Fault, Refusal, placed, problems
from backtester.config_fields import Day, Memory, Name, Stream, Symbols, Text
from backtester.config_strategies import Known, bind, described, key_of
from backtester.config_sweep import SweepSettings, WalkForwardSettings
from backtester.errors import BacktesterError, ConfigError
from backtester.market.history import HistorySettings, ListedIndicatorSettings
from backtester.market.quality import GapFillerSettings
from backtester.market.resample import DerivedSettings
from backtester.settings import IntervalText, Settings
from backtester.trading.execution import AccountSettings, ExecutionSettings
from backtester.trading.risk import RiskSettings

if TYPE_CHECKING:
    from backtester.signals.loading import Described, Sources
    from backtester.signals.process import Limits
    from backtester.signals.strategy import Strategy

VERSION = 1
MAX_THREADS = 1024

_SECRET = re.compile(r"key|secret|token|passw|credential", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
# What cannot influence a result and so stays out of the digest.
OUTSIDE_THE_RESULT: tuple[tuple[str, ...], ...] = (
    ("config_version",),
    ("session_name",),
    ("metadata",),
    ("api_config",),
    ("resources",),
    ("keep",),
    ("audit",),
    ("sweep",),
    ("walkforward",),
    ("backtest_config", "prefetch_days"),
    ("backtest_config", "speed_multiplier"),
    ("session_data_config", "lake"),
    ("session_data_config", "verify"),
    ("session_data_config", "gap_filler", "max_retries"),
    ("session_data_config", "gap_filler", "retry_interval_seconds"),
)


class BacktestSettings(Settings):
    """`backtest_config`: the days of the run, both included; may fall on days without a session."""

    start_date: Day = Field(description="first day, YYYY-MM-DD")
    end_date: Day = Field(description="last day, YYYY-MM-DD")
    speed_multiplier: float = Field(0.0, ge=0.0, description="of older configs; without meaning for a backtest")
    prefetch_days: int | None = Field(None, ge=1, le=100_000, description="sessions read by one query; chosen by itself where absent")

    @model_validator(mode="after")
    def _in_order(self) -> BacktestSettings:
        if self.start_date > self.end_date:
            action = f"swap it with end_date, {self.end_date}"
            raise Refusal([Fault(("start_date",), "start_date is after end_date", self.start_date, action=action)])
        return self


class IndicatorSettings(Settings):
    """One session indicator: a column that strategies reach as `bars.indicator("sma_20")`."""

    name: str = Field(description="a name that `bt indicators` lists")
    period: int | None = Field(None, ge=1, le=100_000)
    interval: IntervalText = Field(description="the bars it is computed on, such as 5m")
    params: dict[str, float | int] = {}
    type: str | None = Field(None, description="recorded only")


class IndicatorsSettings(Settings):
    """`session_data_config.indicators`."""

    session: tuple[IndicatorSettings, ...] = ()
    historical: tuple[ListedIndicatorSettings, ...] = ()


class SessionDataSettings(Settings):
    """`session_data_config`: which market data, and what is made of it."""

    lake: Text | None = Field(None, description="folder; relative to the config")
    verify: Literal["hash", "size", "off"] = "hash"
    symbols: Symbols = Field(description="a list of symbols")
    streams: tuple[Stream, ...] = ()
    historical: HistorySettings = HistorySettings()
    indicators: IndicatorsSettings = IndicatorsSettings()
    gap_filler: GapFillerSettings = GapFillerSettings()
    derived: DerivedSettings = DerivedSettings()


class StrategySettings(Settings):
    """One strategy of the run; `params` are checked against the strategy's own fields and completed with its defaults."""

    name: Name = Field(description="its name in every table, unique in the run")
    use: Text = Field(description="a name that `bt strategies` lists, path/to/file.py:Class, or package.module:Class")
    symbols: Literal["all"] | Symbols = "all"
    params: dict[str, Any] = {}


class AuditSettings(Settings):
    """`audit`: the small audit inside every run, which never changes a result; `bt audit` does a whole one."""

    cuts: int = Field(
        8, ge=0, le=64, description="bars at which a session is cut to see whether a strategy knows what comes after; 0: none"
    )
    on_leak: Literal["warn", "fail"] = Field("warn", description="what becomes of a run whose strategy looks ahead")


class ResourceSettings(Settings):
    """`resources`: limits that never change a result; a strategy that breaks one of its own is stopped."""

    max_memory: Memory | None = None
    threads: int | None = Field(None, ge=1, le=MAX_THREADS)
    checkpoint_seconds: float | None = Field(
        5.0, ge=0.0, le=1e6, description="how often a run notes how far it is, for --resume; 0: after every part, null: never"
    )
    cache: bool = Field(False, description="keep sessions on their slots in the user's cache folder, for the next run over them")
    cache_size: Memory = Field(10_000_000_000, description="what the cache may hold; what was not used for the longest time goes first")
    isolate_strategies: bool = Field(
        False, description="load and call each strategy in processes of its own; either limit below asks for it too"
    )
    strategy_timeout_seconds: float | None = Field(None, gt=0.0, le=1e6, description="wall time that a strategy may take for one session")
    strategy_memory: Memory | None = Field(None, description="what a strategy may hold beyond libraries and the market's columns")

    @property
    def apart(self) -> bool:
        """Whether strategies are called in processes of their own."""
        return self.limits is not None

    @property
    def limits(self) -> Limits | None:
        """The limits of the strategies' processes; None where they have none of their own."""
        from backtester.signals.process import Limits

        asked = self.isolate_strategies or self.strategy_timeout_seconds is not None or self.strategy_memory is not None
        return Limits(self.strategy_timeout_seconds, self.strategy_memory) if asked else None


class Config(Settings):
    """Everything that a run is told; made by `load`, which completes and checks it."""

    config_version: int = Field(VERSION, ge=1)
    session_name: Text = Field(description="a title for people")
    exchange_group: Text = Field(description="such as US_EQUITY")
    asset_class: Text = Field(description="such as EQUITY")
    calendar: Text | None = Field(None, description="a pandas_market_calendars name; wins over exchange_group")
    mode: Literal["backtest"] = "backtest"
    backtest_config: BacktestSettings = Field(description="an object with start_date and end_date")
    session_data_config: SessionDataSettings = Field(description="an object with symbols and streams")
    strategies: tuple[StrategySettings, ...] = ()
    trading_config: RiskSettings = RiskSettings()
    account: AccountSettings = Field(description="cash, or trading_config.max_buying_power in its place")
    execution: ExecutionSettings = ExecutionSettings()
    keep: tuple[Literal["signals", "bars", "indicators"], ...] = ()
    on_error: Literal["isolate", "fail"] = "isolate"
    audit: AuditSettings = AuditSettings()
    resources: ResourceSettings = ResourceSettings()
    sweep: SweepSettings | None = Field(None, description="variants of this config that `bt sweep` tries; `bt run` runs the config itself")
    walkforward: WalkForwardSettings | None = Field(None, description="windows that `bt walkforward` sweeps, one after the other")
    api_config: dict[str, Any] = Field({}, description="recorded only")
    metadata: dict[str, Any] = Field({}, description="anything; recorded only")

    _root: Path = PrivateAttr(default_factory=Path.cwd)
    _stem: str = PrivateAttr("run")
    _known: Known = PrivateAttr(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder at which relative paths of the config start."""
        return self._root

    @property
    def default_out(self) -> Path:
        """Where the run goes if nobody says: `runs/<name of the config file>` below the current folder."""
        return Path("runs") / self._stem

    @property
    def lake(self) -> Path:
        """The lake's absolute path. Raises ConfigError where neither the config nor the command named one."""
        if self.session_data_config.lake is None:
            raise ConfigError("no lake is named", where="/session_data_config/lake", action="add it to the config, or give --lake DIR")
        return Path(self.session_data_config.lake)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and yet seldom meant."""
        quality, said = self.trading_config.min_quality, []
        if 0.0 < quality <= 1.0:
            said.append(f"/trading_config/min_quality is in percent: {quality:g} lets nearly everything pass; 95 is usual")
        if self.execution.no_entry_minutes and not self.execution.flat_at_close:
            said.append("/execution/no_entry_minutes means nothing without flat_at_close")
        return tuple(said)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all that can influence a result."""
        from backtester.outcome.digests import json_digest

        return json_digest(self.result_part())

    def result_part(self) -> Document:
        """The config as JSON values without what cannot influence a result, and without the order of what has none."""
        return _result_part(self)

    def resolved(self) -> Document:
        """The whole config with its defaults as JSON values, ready to be run again; secrets are replaced by their names."""
        document = self.model_dump(mode="json")
        if self.execution.commission.preset is not None:
            document["execution"]["commission"] = {"preset": self.execution.commission.preset}
        for entry in document["strategies"]:
            entry["use"] = _placed(entry["use"], self._root)
        for free in ("api_config", "metadata"):
            document[free] = _without_secrets(document[free])
        return document


def load(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), lake: Path | None = None) -> Config:
    """The config of a file or mapping, with `PATH=VALUE` overrides and another lake; relative paths become absolute.

    Raises ConfigError that holds every problem found, StrategyError where all is well but a strategy cannot be loaded,
    UsageError where an override is not PATH=VALUE.
    """
    document = assign(read(source), overrides)
    root, stem = (Path.cwd(), _slug(document)) if isinstance(source, Mapping) else (Path(source).resolve().parent, Path(source).stem)
    return of_document(document, root, stem, lake)


def of_document(document: Document, root: Path, stem: str = "run", lake: Path | None = None) -> Config:
    """The config of a document as `config_document.read` gives it, which is completed in place; errors as of `load`."""
    _check_version(document)
    document = with_cash(document)
    config, known = _checked(document, root)
    config._root, config._stem, config._known = root, stem, known
    return with_lake(config, lake)


def bind_strategies(config: Config) -> list[tuple[StrategySettings, Described, Strategy | None]]:
    """Each strategy of the config with what is known of it, in the config's order, and as an object with its settings.

    None in place of the object: it lives in a process of its own. Raises StrategyError, ResourceError.
    """
    bound: list[tuple[StrategySettings, Described, Strategy | None]] = []
    sources: Sources = {}
    limits = config.resources.limits
    for place, entry in enumerate(config.strategies):
        known = config._known.get(key_of(entry.use, entry.params)) if config._known else None
        if known is not None:
            bound.append((entry, known, None))
        else:
            at = ("strategies", place)
            bound.append((entry, *described(entry.use, entry.params, config.root, at, entry.name, limits, sources)))
    return bound


def together(configs: Sequence[Config], strategies: Sequence[StrategySettings]) -> Config:
    """The first of some configs with these strategies, of which it knows what any of them does."""
    made = configs[0].model_copy(update={"strategies": tuple(strategies)})
    made._known = {key: known for config in configs for key, known in config._known.items()}
    return made


def schema() -> Document:
    """The JSON Schema (draft 2020-12) of a config; it knows shapes, types and bounds, `load` knows the rest."""
    described = Config.model_json_schema()
    described["required"].remove("account")
    for part in (described, *described["$defs"].values()):
        if part.get("additionalProperties") is False:
            part["patternProperties"] = {"^_|^comment$": True}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described, "title": "Config of a backtest"}


def _checked(document: Document, root: Path) -> tuple[Config, Known]:
    """The document as a Config, and what is known of strategies that were loaded apart; raises every problem of the models, of the
    strategies and between the sections together.
    """
    wrong, known = bind(document, root, _limits(document))
    found: list[BacktesterError] = [*wrong, *(placed(fault, ()) for fault in faults(document))]
    try:
        config = Config.model_validate_json(json.dumps(document))
    except ValidationError as error:
        found = [*problems(error, document, Config), *found]
    if any(isinstance(problem, ConfigError) for problem in found):
        once = {problem.where: problem for problem in reversed(found)}
        raise ConfigError("the config cannot be used", problems=list(reversed(once.values())))
    if found:
        raise found[0]
    return config, known


def _slug(document: Document) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", str(document.get("session_name", ""))).strip("-").lower()[:64] or "run"


def _check_version(document: Document) -> None:
    """A document of a later program is refused before its unknown keys are."""
    version = document.get("config_version", VERSION)
    if type(version) is int and version > VERSION:
        from backtester import __version__

        needs = f"needs bt >= the release that reads config_version {version}; this is bt {__version__}, which reads up to {VERSION}"
        raise ConfigError("the config is newer than this program", where="/config_version", value=version, action=needs)


def with_cash(document: Document) -> Document:
    """The document with an account; configs older than `account` name the cash as the buying power."""
    power = value_at(document, "trading_config", "max_buying_power")
    if "account" in document or type(power) not in (int, float) or power <= 0:
        return document
    return document | {"account": {"cash": power}}


def with_lake(config: Config, lake: Path | None) -> Config:
    """The config with the absolute path of its lake, or of another one."""
    data = config.session_data_config
    if lake is None and data.lake is None:
        return config
    path = os.path.abspath(lake) if lake is not None else os.path.abspath(config.root / str(data.lake))
    return config.model_copy(update={"session_data_config": data.model_copy(update={"lake": path})})


def _limits(document: Document) -> Limits | None:
    """The limits of strategies' own processes, where the document asks for such; none beyond that where its resources are wrong."""
    from backtester.signals.process import Limits

    try:
        resources = ResourceSettings.model_validate_json(json.dumps(document.get("resources", {})))
    except ValidationError:
        return Limits()
    return resources.limits


def _result_part(config: Config) -> Document:
    """The config without what cannot influence a result, and without the order of what has none."""
    from backtester.outcome.manifest import without_folder

    document = config.model_dump(mode="json")
    for *parents, key in OUTSIDE_THE_RESULT:
        holder = document
        for parent in parents:
            holder = holder[parent]
        holder.pop(key)
    for entry in document["strategies"]:
        entry["use"] = without_folder(entry["use"])
    data = document["session_data_config"]
    data["streams"] = sorted(set(data["streams"]))
    for item in data["historical"]["data"]:
        if isinstance(item["apply_to"], list):
            item["apply_to"] = sorted(item["apply_to"])
    return document


def _placed(use: str, root: Path) -> str:
    """`path/to/file.py:Class` with its absolute path, so that it is found from any folder; other words as they are.

    >>> _placed("mine/cross.py:Cross", Path("/home/me")), _placed("package.module:Cross", Path("/home/me"))
    ('/home/me/mine/cross.py:Cross', 'package.module:Cross')
    """
    place, _, attribute = use.rpartition(":")
    return f"{os.path.abspath(root / place)}:{attribute}" if place.endswith(".py") else use


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: {"secret": key} if _SECRET.search(key) else _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return _USERINFO.sub("", value) if isinstance(value, str) else value

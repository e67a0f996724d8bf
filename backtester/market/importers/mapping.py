"""Mapping: which column of a vendor's table is which of the lake's.

Place in the flow: between a table as it was read and its piece. Declared names win; else a column is taken by its own name,
letter case aside. Never guesses between two columns, nor drops one in silence where nothing was declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backtester.errors import DataError, UsageError, did_you_mean
from backtester.market.importers.source import Place
from backtester.market.lake import Kind

PRICES = ("open", "high", "low", "close")
BARS = (*PRICES, "volume")
QUOTES = tuple(f"{side}_{part}" for side in ("bid", "ask") for part in PRICES)
SIZES = ("bid_size", "ask_size")
FIELDS = ("ts", "symbol", *BARS, "vwap", "trades", *QUOTES, *SIZES, "fold")
SYNONYMS = {"ts": ("ts", "timestamp", "datetime", "date", "time"), "symbol": ("symbol", "ticker")}
OPTIONAL = ("symbol", "vwap", "trades", "fold", *SIZES)


def parse(items: Sequence[str], header: bool) -> dict[str, str]:
    """What `--map` says: `ts=Date,open=Open` by name, `ts=1,open=2` by position or `ts,open,_,close` in order without a header.

    UsageError where a field is unknown or twice.

    >>> parse(["ts=Date", "open=Open,close=Adj Close"], True)
    {'ts': 'Date', 'open': 'Open', 'close': 'Adj Close'}
    >>> parse(["ts,open,_,close"], False)
    {'ts': '1', 'open': '2', 'close': '4'}
    """
    found: dict[str, str] = {}
    for position, item in enumerate([part.strip() for text in items for part in text.split(",")], 1):
        field, sign, column = item.partition("=")
        if not sign and not header:
            column = str(position)
            if field == "_":
                continue
        if field not in FIELDS:
            raise UsageError("unknown field", where="--map", value=repr(field), action=did_you_mean(field, FIELDS))
        if not column:
            raise UsageError("a field without a column", where="--map", value=repr(item), allowed="FIELD=COLUMN")
        if field in found:
            raise UsageError("a field mapped twice", where="--map", value=repr(field))
        found[field] = column
    return found


def positions(mapped: Mapping[str, str]) -> list[str]:
    """Column names for a file without a header: `1`, `2`, ... as far as the mapping reaches. UsageError where one is no position."""
    wrong = [column for column in mapped.values() for part in column.split("+") if not part.isdecimal() or int(part) == 0]
    if wrong:
        raise UsageError("not a position", where="--map", value=repr(wrong[0]), allowed="1, 2, 3 ... with --no-header")
    return [str(number) for number in range(1, 1 + max(int(part) for column in mapped.values() for part in column.split("+")))]


def resolve(mapped: Mapping[str, str], names: Sequence[str], ignored: Sequence[str], place: Place, kind: Kind | None,
            default_symbol: bool) -> tuple[Kind, dict[str, tuple[str, ...]]]:  # fmt: skip
    """The kind of the table and, of each field, its columns (`ts` may have two: date and time of day).

    DataError where a needed column is missing, or where nothing is mapped and a column is neither known nor ignored.
    """
    found = {field: _declared(field, column, names, place) for field, column in mapped.items()}
    taken = {column for columns in found.values() for column in columns}
    free = [name for name in names if name not in taken and name not in ignored]
    for field in FIELDS:
        if field not in found and (columns := _by_name(field, free)):
            found[field] = columns
    kind = kind or ("bars" if not any(field in found for field in QUOTES) or all(field in found for field in BARS) else "quotes")
    wanted = {"bars": ("ts", *BARS), "quotes": ("ts", *QUOTES)}[kind]
    needed = wanted if default_symbol else ("symbol", *wanted)
    missing = [field for field in needed if field not in found]
    if missing:
        raise _missing(missing, names, place)
    used = {column for columns in found.values() for column in columns}
    extra = [name for name in names if name not in used and name not in ignored]
    if extra and not mapped:
        raise DataError("columns that are not declared", where=str(place), value=", ".join(extra[:5]),
                        action="name them with --ignore COLUMN, or declare the columns with --map")  # fmt: skip
    keep = (*needed, *OPTIONAL)
    return kind, {field: columns for field, columns in found.items() if field in keep}


def _declared(field: str, column: str, names: Sequence[str], place: Place) -> tuple[str, ...]:
    """The columns that `--map` names for a field."""
    columns = (column,) if column in names or field != "ts" else tuple(column.split("+"))
    for name in columns:
        if name not in names:
            raise DataError(
                "a mapped column is not in the file", where=str(place), value=f"{field}={name}", action=did_you_mean(name, names)
            )
    return columns


def _by_name(field: str, names: Sequence[str]) -> tuple[str, ...]:
    """The column that bears a field's own name; of times a date and a time together."""
    folded = {name.casefold(): name for name in reversed(names)}
    if field == "ts" and "ts" not in folded and {"date", "time"} <= set(folded):
        return folded["date"], folded["time"]
    return next(((folded[word],) for word in SYNONYMS.get(field, (field,)) if word in folded), ())


def _missing(missing: Sequence[str], names: Sequence[str], place: Place) -> DataError:
    """The error for columns that are not there."""
    if missing[0] == "symbol" and len(missing) == 1:
        return DataError("no column tells the symbol", where=str(place), value="columns " + ", ".join(names),
                         action="add --symbol NAME, --symbol-from-name or --map symbol=COLUMN")  # fmt: skip
    other = next((sign for sign in ";\t|," if len(names) == 1 and sign in names[0]), None)
    hint = f"declare the columns with --map {missing[0]}=COLUMN,..." if other is None else f"is the delimiter {other!r}? add --delimiter"
    return DataError("columns are missing", where=str(place), value=f"{', '.join(missing)} not among {', '.join(names)}", action=hint)

"""Constraints between the parameters of a sweep, such as `fast < slow`.

Place in the flow: `space` leaves out the combinations that a constraint does not hold for. An expression of names, numbers,
texts, comparisons, + - * / % and `and or not`; nothing else is evaluated, no function called.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from backtester.errors import ConfigError, did_you_mean

_TWO: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ALLOWED = "parameters, numbers, texts, < <= > >= == !=, + - * / %, and, or, not"
LONGEST = 500

Constraint = Callable[[Mapping[str, Any]], bool]
"""Whether a combination (parameter -> value) is wanted."""


def constraint(text: str, names: Mapping[str, str], where: str) -> Constraint:
    """The test that an expression says; `names` maps what it may call a parameter to the parameter.

    Raises ConfigError for what it may not hold.

    >>> wanted = constraint("2 * fast < slow", {"fast": "fast", "slow": "slow"}, "")
    >>> wanted({"fast": 5, "slow": 20}), wanted({"fast": 10, "slow": 20})
    (True, False)
    """
    if len(text) > LONGEST:
        raise ConfigError("a constraint is too long", where=where, value=f"{len(text)} characters", allowed=f"at most {LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ConfigError("not a constraint", where=where, value=text, allowed=ALLOWED, action="such as fast < slow") from None
    made = _made(tree, names, text, where)

    def holds(values: Mapping[str, Any]) -> bool:
        try:
            return bool(made(values))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            raise ConfigError(
                "a constraint cannot be worked out", where=where, value=f"{text} of {dict(values)}", action=str(error)
            ) from None

    return holds


def _made(node: ast.AST, names: Mapping[str, str], text: str, where: str) -> Callable[[Mapping[str, Any]], Any]:
    """What a part of the expression is worth, as a function of the values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        value = node.value
        return lambda _: value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ConfigError("a constraint names no parameter", where=where, value=node.id, action=did_you_mean(node.id, names))
        key = names[node.id]
        return lambda values: values[key]
    if isinstance(node, ast.BinOp) and type(node.op) in _TWO:
        return _pair(_TWO[type(node.op)], _made(node.left, names, text, where), _made(node.right, names, text, where))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        inner, negate = _made(node.operand, names, text, where), isinstance(node.op, ast.USub)
        return lambda values: -inner(values) if negate else not inner(values)
    if isinstance(node, ast.BoolOp):
        parts, every = [_made(part, names, text, where) for part in node.values], isinstance(node.op, ast.And)
        return lambda values: all(part(values) for part in parts) if every else any(part(values) for part in parts)
    if isinstance(node, ast.Compare) and all(type(op) in _TWO for op in node.ops):
        terms = [_made(part, names, text, where) for part in (node.left, *node.comparators)]
        pairs = [_pair(_TWO[type(op)], terms[place], terms[place + 1]) for place, op in enumerate(node.ops)]
        return lambda values: all(pair(values) for pair in pairs)
    raise ConfigError("not a constraint", where=where, value=text, allowed=ALLOWED, action="such as fast < slow")


def _pair(op: Callable[[Any, Any], Any], left: Callable[..., Any], right: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    return lambda values: op(left(values), right(values))

"""Small checks of values that came over the wire. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[[object], bool]
Rules = Mapping[str, Check]
"""Field name to the check of its value."""


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def number(low: float, high: float) -> Check:
    """A number from `low` to `high`; never NaN."""
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def text(pattern: str) -> Check:
    """A text that the whole pattern matches."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def one_of(choices: Sequence[str]) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def an_object(value: object) -> bool:
    return isinstance(value, dict)


def a_list(value: object) -> bool:
    return isinstance(value, list)


def a_truth(value: object) -> bool:
    return isinstance(value, bool)


def wrong_field(values: Mapping[str, Any], rules: Rules) -> str | None:
    """The first field that is missing or wrong; None where all is well."""
    return next((name for name, good in rules.items() if name not in values or not good(values[name])), None)

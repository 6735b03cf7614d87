"""Read translations: the plain part of gettext's PO format, one line for each text."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def read_po(text: str) -> dict[str, str]:
    """Translation by text; those that are still empty are left out. Raises ValueError or SyntaxError."""
    return {original: translated for original, translated in _pairs(text) if original and translated}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    original = ""
    for line in text.splitlines():
        keyword, _, quoted = line.partition(" ")
        if keyword == "msgid":
            original = ast.literal_eval(quoted)
        elif keyword == "msgstr":
            yield original, ast.literal_eval(quoted)

"""The add-on in other languages: a .po file for each, made from unocclude.pot."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..core.po import read_po

LOCALES = {"de": ("de_DE", "de")}
"""Blender's names of the language that a file is for; they differ between versions."""


def texts() -> dict[str, dict[tuple[str, str], str]]:
    """As Blender wants them: by locale, then by context and text."""
    by_locale = {}
    for path in sorted(Path(__file__).parent.glob("*.po")):
        translated = read_po(path.read_text(encoding="utf-8"))
        for locale in LOCALES[path.stem]:
            by_locale[locale] = {
                (context, original): text for original, text in translated.items() for context in ("*", "Operator")
            }
    return by_locale


def register() -> None:
    bpy.app.translations.register(__name__, texts())


def unregister() -> None:
    bpy.app.translations.unregister(__name__)

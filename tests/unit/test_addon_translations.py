"""The template has every text of the sources, each translation every text of the template."""

from __future__ import annotations

from pathlib import Path

import pytest

from addon.core.po import read_po
from addon.messages import TEMPLATE, messages

TRANSLATIONS = sorted(TEMPLATE.parent.glob("*.po"))


def test_texts_are_found_where_they_are() -> None:
    found = messages()
    for text in ("Reconstruct", "Stop the reconstruction", "Graphics Card", "A first look", "Bring In", "Running"):
        assert text in found
    assert len(found) == len(set(found))


def test_the_template_is_up_to_date() -> None:
    lines = TEMPLATE.read_text(encoding="utf-8").replace('msgstr ""', 'msgstr "x"')
    assert list(read_po(lines)) == messages(), "run `python addon/messages.py`"


@pytest.mark.parametrize("path", TRANSLATIONS, ids=[path.stem for path in TRANSLATIONS])
def test_a_translation_is_complete(path: Path) -> None:
    translated = read_po(path.read_text(encoding="utf-8"))
    assert set(translated) == set(messages())


def test_quotes_and_empty_texts() -> None:
    lines = [
        'msgid ""',
        'msgstr ""',
        r'"Language: xx\n"',
        r'msgid "say \"yes\""',
        'msgstr "ja"',
        'msgid "later"',
        'msgstr ""',
    ]
    assert read_po("\n".join(lines)) == {'say "yes"': "ja"}

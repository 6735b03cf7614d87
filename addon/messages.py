"""The texts that the add-on shows, for translators: `python addon/messages.py` writes translations/unocclude.pot.

They are found in the sources: labels, tooltips, names and descriptions of properties, texts on buttons.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ADDON = Path(__file__).resolve().parent
TEMPLATE = ADDON / "translations" / "unocclude.pot"
_KEYWORDS = {"name", "description", "text", "heading"}
_ATTRIBUTES = {"bl_label", "bl_description", "headline", "NOT_ONLINE"}


def messages() -> list[str]:
    """All of them, each once, in the order of the sources."""
    found = (
        text
        for path in sorted(ADDON.glob("*.py"))
        if path != Path(__file__).resolve()
        for text in _in_source(ast.parse(path.read_text(encoding="utf-8")))
    )
    return list(dict.fromkeys(text for text in found if any(letter.isalpha() for letter in text)))


def _in_source(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(base for base in node.bases if _name(base) == "Operator"):
            tooltip = ast.get_docstring(node)
            if tooltip:
                yield tooltip
        elif isinstance(node, ast.Assign) and _name(node.targets[0]) in _ATTRIBUTES:
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            for keyword in node.keywords if _name(node.func) != "new" else ():
                if keyword.arg in _KEYWORDS:
                    yield from _texts(keyword.value)
                elif keyword.arg == "items" and isinstance(keyword.value, ast.List):
                    for item in keyword.value.elts:
                        if isinstance(item, ast.Tuple):
                            yield from (text for part in item.elts[1:3] for text in _texts(part))
            if _name(node.func) == "draw_text" and len(node.args) > 1:
                yield from _texts(node.args[1])


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
        for value in node.value.values:
            yield from _texts(value)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def main() -> None:
    lines = ["# Texts of the Unocclude add-on. Made by addon/messages.py.", 'msgid ""', 'msgstr ""']
    lines += ['"Content-Type: text/plain; charset=UTF-8\\n"', ""]
    for message in messages():
        quoted = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines += [f'msgid "{quoted}"', 'msgstr ""', ""]
    TEMPLATE.parent.mkdir(exist_ok=True)
    TEMPLATE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Writes the README's tables from the code, so that they cannot say anything else: python tools/readme_tables.py"""

import re
from pathlib import Path

from answerprint import operations
from answerprint.media.presets import PRESETS

README = Path(__file__).parents[1] / "README.md"


def operation_rows() -> str:
    rows = [f"| `{name}` | {operations.summary(name)} |" for name in operations.names()]
    return "\n".join(["| operation | what it does |", "|---|---|", *rows])


def preset_rows() -> str:
    rows = [f"| `{p.name}` | {' '.join(p.endings)} | {p.summary} |" for p in PRESETS.values()]
    return "\n".join(["| preset | endings | what it is |", "|---|---|---|", *rows])


def filled(text: str) -> str:
    """The README's text with its tables as the code has them now."""
    for what, rows in (("operations", operation_rows()), ("presets", preset_rows())):
        begin = f"<!-- {what}: made by tools/readme_tables.py -->"
        text = re.sub(rf"{re.escape(begin)}\n.*?<!-- end -->", f"{begin}\n{rows}\n<!-- end -->", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")

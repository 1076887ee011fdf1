"""Every key of a TOML file is found on the line where it stands."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from answerprint.errors import SettingsError
from answerprint.shots import toml

TEXT = '''# a comment with [brackets] and = signs
title = "a # in text" # and a comment
"quoted key" = 'x'
a.b."c.d" = 1
long = [
  1, 2, # in between
  [3, "]"],
]
text = """
[not.a.table]
key = "no key"
"""

[table]
inline = { x = 1, y = [1, 2] }

[[list]]
name = "one"
[[list.inner]]
z = 1
[list.inner.deep]
w = 2.5e-3
[[list.inner]]
z = 2
[[list]]
name = "two"
[[list.inner]]
z = 3
'''


def leaves(value: Any, key: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in leaves(part, (*key, name))]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [leaf for number, part in enumerate(value) for leaf in leaves(part, (*key, number))]
    return [(key, value)]


def test_each_key_stands_where_it_is_said_to_stand(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(TEXT)
    document = toml.read(file)
    lines = TEXT.split("\n")
    found = leaves(tomllib.loads(TEXT))
    assert len(found) == 13
    for key, _ in found:
        line = lines[int(document.where(*key).rpartition(":")[2]) - 1]
        written = "inline" if "inline" in key else str(key[-1])
        assert written in line, (key, line)
    assert document.where("list", 1, "inner", 0, "z").endswith(f":{lines.index('z = 3') + 1}")
    assert document.where("list", 0, "inner", 1, "z").endswith(f":{lines.index('z = 2') + 1}")
    assert document.where("table", "missing").endswith(f":{lines.index('[table]') + 1}")


def test_windows_line_ends_and_a_byte_order_mark_do_not_move_lines(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xef\xbb\xbfa = 1\r\n\r\n[t]\r\nb = 2\r\n")
    document = toml.read(file)
    assert document.values == {"a": 1, "t": {"b": 2}}
    assert document.where("t", "b") == f"{file}:4"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nname = match\n", r":2: invalid value \(text needs quotes\): name = match"),
        (b"a = 1\nb\nc = 2\n", r":2: .*: b"),
        (b"a = 1\n\na = 2\n", r":3: cannot overwrite a value"),
        (b'a = 1\nb = "open\n', r":2: "),
        (b"a = 1\nb = [1,\n", r":\d: "),
        (b"\xff\xfe\x00\x80", "is not a text file"),
    ],
)
def test_wrong_syntax_is_answered_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        toml.read(file)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone.toml: cannot be read: No such file"):
        toml.read(tmp_path / "gone.toml")


def test_what_is_written_reads_back_the_same() -> None:
    rows: dict[str, Any] = {
        "third": 1 / 3,
        "tiny": 5e-324,
        "large": 1.7976931348623157e308,
        "whole": 3.0,
        "text": 'a "quoted" \\ line\nand another',
        "many": [i / 7 for i in range(100)],
        "nested": [[i / 3 for i in range(8)] for _ in range(9)],
        "tables": [{"x": 1.5, "y": "z" * 90}, {"x": 2.5, "y": ""}],
        "odd key!": True,
        "empty": [],
    }
    lines = toml.entries((name, value, "what it is") for name, value in rows.items())
    again = tomllib.loads("\n".join(lines))
    assert again == rows
    assert isinstance(again["whole"], float)
    assert max(len(line) for line in lines if "nested" not in line and "{" not in line) <= 190
    assert all("#" in line for line in lines if line.startswith(("third", "tiny", "text", "whole")))

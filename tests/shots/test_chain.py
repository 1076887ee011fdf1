"""Chains: what they say arrives, and what is wrong in them is answered with its line."""

from pathlib import Path
from typing import Any

import pytest

from answerprint import operations
from answerprint.errors import SettingsError
from answerprint.shots import chain

EXAMPLES = Path(__file__).parents[2] / "examples" / "chains"


def write(folder: Path, text: str) -> Path:
    file = folder / "c.toml"
    file.write_text(text)
    return file


def test_a_chain_says_operations_delivery_and_defaults(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'name = "soft"\nchunk = 12\nshots = "none"\n[delivery]\npreset = "ffv1"\n'
        '[[operation]]\nname = "filter"\nkind = "gaussian"\n[[operation]]\nname = "filter"\nkind = "median"\n',
    )
    loaded = chain.load(file, operations.load)
    assert (loaded.name, loaded.chunk, loaded.shots, loaded.delivery) == ("soft", 12, "none", {"preset": "ffv1"})
    assert [(step.name, step.params["kind"]) for step in loaded.operations] == [
        ("filter", "gaussian"),
        ("filter", "median"),
    ]
    # every value is there, so what a later version has as default cannot change what was asked for
    assert set(loaded.operations[0].params) == set(operations.load("filter").params_type.model_fields)


def test_paths_are_taken_from_the_folder_of_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "cuts.csv").write_text("name,start,stop\n")
    file = write(
        tmp_path / "deep", 'shots = "../cuts.csv"\n[[operation]]\nname = "match"\nreference = "stills/a.jpg"\n'
    )
    monkeypatch.chdir("/")
    loaded = chain.load(file, operations.load)
    assert loaded.shots == str(tmp_path / "cuts.csv")
    assert Path(str(loaded.operations[0].params["reference"])) == tmp_path / "deep" / "stills" / "a.jpg"
    assert loaded.name == "c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[operation]]\n\nname = "sharpn"\n', r"c.toml:3: unknown operation 'sharpn'; there are: .*filter.*match"),
        (
            '[[operation]]\nname = "filter"\nradius = 2\nradus = 3\n',
            r"c.toml:4: unknown key 'radus'; allowed keys: .*radius",
        ),
        ('[[operation]]\nname = "filter"\n\nkind = "soft"\n', r"c.toml:4: 'kind' is 'soft'; allowed: one of gaussian"),
        ('[[operation]]\nkind = "soft"\n', r"c.toml:1: this \[\[operation\]\] has no name"),
        ("[[operation]]\nname = 3\n", r"c.toml:2: this \[\[operation\]\] 'name' is 3"),
        ('name = "x"\nchunks = 3\n', r"c.toml:2: unknown key 'chunks'; allowed keys: name, shots, chunk"),
        ('chunk = 0\n[[operation]]\nname = "filter"\n', r"c.toml:1: 'chunk' is 0; allowed: a whole number from 1"),
        ('[delivery]\npreset = ["a"]\n', r"c.toml:2: 'preset' is \['a'\]; allowed: text"),
        ('[operation]\nname = "filter"\n', r"c.toml:1: 'operation' is not a list of tables"),
        (
            'shots = "cuts.edl"\n[[operation]]\nname = "filter"\n',
            r"c.toml:1: 'shots' is 'cuts.edl', and there is no such",
        ),
        ("", r"c.toml: names no operation"),
    ],
)
def test_what_is_wrong_is_answered_with_file_line_found_and_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        chain.load(write(tmp_path, text), operations.load)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_load(example: Path) -> None:
    assert chain.load(example, operations.load).operations


def test_the_schema_knows_every_operation_and_value() -> None:
    contracts = {name: operations.load(name) for name in operations.names()}
    made: dict[str, Any] = chain.schema(contracts)
    entries = {entry["title"]: entry for entry in made["properties"]["operation"]["items"]["oneOf"]}
    assert sorted(entries) == operations.names()
    for name, contract in contracts.items():
        assert set(entries[name]["properties"]) == {"name", *contract.params_type.model_fields}
        assert entries[name]["additionalProperties"] is False

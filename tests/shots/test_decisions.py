"""The decision list: a person reads, edits, locks and drops, and is answered with the line where something is wrong."""

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from answerprint import operations
from answerprint.errors import MediaError, SettingsError
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions import file as lists
from answerprint.shots.decisions.merge import merge
from answerprint.shots.decisions.model import (
    DecisionList,
    OperationDecision,
    ShotDecision,
    SourceRef,
    fingerprint,
)


class Params(Settings):
    strength: float = Field(1.0, ge=0, le=1, description="How much of it is taken.")
    method: Literal["soft", "hard"] = Field("soft", description="Way of working.")
    reference: Path | None = Field(None, description="Still to go by.")
    limit: float | None = Field(2.0, description="Greatest change; none for no limit.")


class Region(Settings):
    weight: float = Field(1.0, description="Share of the picture.")


class Findings(Settings):
    mean: tuple[float, float, float] = Field(description="Mean of each channel.")
    curve: list[list[float]] = Field(default_factory=list, description="Points of the curve.")
    region: Region = Field(default_factory=Region, description="Where it was measured.")


@dataclass(frozen=True)
class Toy:
    """The part of an operation that a decision list knows of."""

    name: str = "soften"
    summary: str = "Makes it softer."
    params_type: type[Settings] = Params
    findings_type: type[Settings] | None = Findings


TOYS = {"soften": Toy(), "plain": Toy("plain", "Has no findings.", Region, None)}


@pytest.fixture
def made(tmp_path: Path) -> DecisionList:
    """Two shots of 51 and 49 frames, two operations on each."""
    (tmp_path / "clip.mov").write_bytes(bytes(range(256)) * 12000)
    source = SourceRef.describe(tmp_path / "clip.mov", 100, Fraction(30000, 1001), "01:00:00;00", {"matrix": "bt709"})
    soften = OperationDecision.of(
        "soften",
        Params(strength=0.7, reference=tmp_path / "stills" / "a.jpg", limit=None),
        Findings(mean=(1 / 3, 2e-9, -0.0), curve=[[i / 7, i / 3] for i in range(60)], region=Region(weight=0.1)),
    )
    chain = (soften, OperationDecision.of("plain", Region()))
    shots = (
        ShotDecision(ShotRange("001", 0, 51), chain),
        ShotDecision(ShotRange("bridge", 51, 100, "dissolve"), chain),
    )
    return DecisionList(source, shots, {"preset": "prores-hq", "bits": 10}, "look", 48, {"answerprint": "0.1"})


Edit = Callable[[str, str], Path]


@pytest.fixture
def edit(made: DecisionList, tmp_path: Path) -> Edit:
    """Writes the list, with what `pattern` finds first replaced in its text."""

    def edited(pattern: str, by: str) -> Path:
        file = tmp_path / "clip.decisions.toml"
        lists.save(made, file, TOYS)
        text, count = re.subn(pattern, by, file.read_text(), count=1, flags=re.MULTILINE)
        assert count == 1, f"{pattern} is not in the file"
        file.write_text(text)
        return file

    return edited


def test_what_is_saved_loads_the_same_to_the_last_bit(made: DecisionList, tmp_path: Path) -> None:
    file = tmp_path / "clip.decisions.toml"
    lists.save(made, file, TOYS)
    again = lists.load(file, TOYS)
    assert again == made
    found, meant = again.shots[0].operations[0].findings, made.shots[0].operations[0].findings
    assert found is not None and meant is not None
    assert struct.pack("3d", *found["mean"]) == struct.pack("3d", *meant["mean"])
    assert math.copysign(1, found["mean"][2]) == -1
    lists.save(again, tmp_path / "again.toml", TOYS)
    assert (tmp_path / "again.toml").read_text() == file.read_text().replace(file.name, "again.toml")


def test_a_person_reads_times_help_ranges_and_defaults(made: DecisionList, tmp_path: Path) -> None:
    file = tmp_path / "clip.decisions.toml"
    lists.save(made, file, TOYS)
    text = file.read_text()
    assert "# 01:00:00;00 to 01:00:01;21 (exclusive), 51 frames, 1.70 s" in text
    assert "# Makes it softer." in text
    assert re.search(r"^strength = 0\.7 +# How much of it is taken; a number from 0 to 1; default 1$", text, re.M)
    assert re.search(r"^method = \"soft\" +# Way of working; one of soft, hard; default soft$", text, re.M)
    assert re.search(r"^mean = .*# Mean of each channel", text, re.M)
    assert "answerprint render clip.decisions.toml" in text
    assert max(len(line) for line in text.split("\n")) <= 120


def test_edits_of_a_person_arrive(edit: Edit) -> None:
    file = edit(r"^strength = 0.7", "strength = 0.25")
    before, after = lists.load(file, TOYS).shots
    assert (before.operations[0].params["strength"], after.operations[0].params["strength"]) == (0.25, 0.7)
    assert before.operations[0].edited and not after.operations[0].edited


def test_an_operation_or_shot_can_be_dropped(edit: Edit) -> None:
    loaded = lists.load(edit(r"^enabled = true", "enabled = false"), TOYS)
    assert [entry.enabled for entry in loaded.shots[0].operations] == [False, True]
    loaded = lists.load(edit(r"(?s)# ── Shot 001.*(?=# ── Shot bridge)", ""), TOYS)
    assert [shot.range.name for shot in loaded.shots] == ["bridge"]


def test_values_left_out_are_the_defaults_and_findings_left_out_are_none(edit: Edit) -> None:
    loaded = lists.load(edit(r"^strength = .*\n", ""), TOYS)
    assert loaded.shots[0].operations[0].params["strength"] == 1.0
    loaded = lists.load(edit(r"(?s)\[shot.operation.findings\].*?(?=# Has no findings)", ""), TOYS)
    assert loaded.shots[0].operations[0].findings is None


def test_a_project_can_move_with_its_clip(made: DecisionList, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "lists").mkdir(parents=True)
    (tmp_path / "clip.mov").rename(project / "clip.mov")
    moved = replace(made, source=made.source.model_copy(update={"path": project / "clip.mov"}))
    lists.save(moved, project / "lists" / "a.toml", TOYS)
    project.rename(tmp_path / "elsewhere")
    loaded = lists.load(tmp_path / "elsewhere" / "lists" / "a.toml", TOYS)
    assert loaded.source.path == tmp_path / "elsewhere" / "clip.mov"
    loaded.source.verify()
    assert not loaded.shots[0].operations[0].edited


WRONG = [
    (r"^strength = 0.7", "strength = 1.7", "strength", r"'strength' is 1.7; allowed: a number from 0 to 1"),
    (r"^strength = 0.7", "strenght = 0.7", "strenght", r"unknown key 'strenght'; allowed keys: strength, method"),
    (r'^method = "soft"', 'method = "sharp"', "method", r"'method' is 'sharp'; allowed: one of soft, hard"),
    (r'^name = "soften"', 'name = "softn"', "softn", r"unknown operation 'softn'; there are: plain, soften"),
    (r"^mean = .*?\]", "mean = [1.0, 2.0]", "mean = [1.0", r"'mean.2' is needed: Mean of each channel"),
    (r"^mean = .*?\]", 'mean = [1.0, "x", 2.0]', "mean = [1.0", r"'mean.1' is 'x'; allowed"),
    (r"^weight = 0.1", "weight = heavy", "weight = heavy", r"invalid value \(text needs quotes\)"),
    (r"^weight = 0.1", 'weight = "heavy"', "heavy", r"'region.weight' is 'heavy'"),
    (r"^enabled = true", 'enabled = "maybe"', "maybe", r"'enabled' is 'maybe'; allowed: true or false"),
    (r"^enabled = true", "enable = true", "enable =", r"unknown key 'enable'; allowed keys: name, enabled"),
    (r"^start = 51", "start = 50", "start = 50", r"'start' is 50; shot 001 before it ends at 51"),
    (r"^stop = 100", "stop = 101", "stop = 101", r"'stop' is 101; the clip has 100 frames"),
    (r"^stop = 51", "stop = 0", "stop = 0", r"'stop' is 0; allowed: a whole number from 1"),
    (r"^start = 51", "start = 100", "stop = 100", r"'stop' is 100; allowed: a frame number above start, 100"),
    (r'^name = "bridge"', 'name = "001"', None, r"there are two shots named '001'"),
    (
        r'^transition = "cut"',
        'transition = "melt"',
        "melt",
        r"'transition' is 'melt'; allowed: one of cut, dissolve, fade, wipe, key",
    ),
    (r"^frames = 100", "frames = 0", "frames = 0", r"'frames' is 0; allowed: a whole number from 1"),
    (r"^format = 1", "format = 2", "format = 2", r"'format' is 2; allowed: a whole number from 1 to 1"),
    (r"^\[versions\]", "[version]", "[version]", r"unknown key 'version'; allowed keys: format, chain"),
    (r"^\[shot.operation.params\]", "[shot.operation.parms]", "parms", r"unknown key 'parms'"),
]


@pytest.mark.parametrize(("pattern", "by", "line", "message"), WRONG, ids=[f"{by}" for _, by, _, _ in WRONG])
def test_what_is_wrong_is_answered_with_its_line(
    edit: Edit, pattern: str, by: str, line: str | None, message: str
) -> None:
    file = edit(pattern, by)
    with pytest.raises(SettingsError, match=message) as caught:
        lists.load(file, TOYS)
    assert "\n" not in str(caught.value)
    number = int(str(caught.value).removeprefix(f"{file}:").partition(":")[0])
    if line is not None:
        assert line in file.read_text().split("\n")[number - 1]


def test_findings_of_an_operation_without_any_are_refused(edit: Edit) -> None:
    with pytest.raises(SettingsError, match=r"'plain' has no findings; delete this table"):
        lists.load(edit(r'^name = "soften"', 'name = "plain"'), {**TOYS, "plain": Toy("plain", "", Params, None)})


def test_another_kind_of_file_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('chain = "x"\n')
    with pytest.raises(SettingsError, match="so it is no decision list"):
        lists.load(tmp_path / "x.toml", TOYS)


def test_another_clip_under_the_same_name_is_noticed(made: DecisionList) -> None:
    made.source.verify()
    clip = made.source.path
    content = bytearray(clip.read_bytes())
    content[-1] ^= 1
    clip.write_bytes(content)
    with pytest.raises(
        MediaError, match=r"is not the clip that was analyzed .same size, other contents.; analyze it again"
    ):
        made.source.verify()
    clip.unlink()
    with pytest.raises(MediaError, match="no such file"):
        made.source.verify()


def test_a_sequence_is_known_by_all_its_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"f.{number:04d}.exr").write_bytes(b"x" * (10 + number))
    size, digest = fingerprint(tmp_path / "f.%04d.exr")
    assert size == 33
    assert fingerprint(tmp_path / "f.####.exr") == (size, digest)
    (tmp_path / "f.0002.exr").unlink()
    assert fingerprint(tmp_path / "f.%04d.exr")[1] != digest


def test_a_new_analysis_keeps_what_is_locked_and_tells_what_was_edited(made: DecisionList) -> None:
    old = made.edit("001", 0, locked=True, params={**made.shots[0].operations[0].params, "strength": 0.2})
    old = old.edit("bridge", 0, params={**made.shots[1].operations[0].params, "strength": 0.3}, enabled=False)
    fresh = OperationDecision.of("soften", Params(strength=0.9), Findings(mean=(0, 0, 0)))
    new = replace(
        made,
        shots=(
            ShotDecision(ShotRange("001", 0, 50), (fresh,)),  # the cut was found a frame earlier
            ShotDecision(ShotRange("002", 50, 100), (fresh,)),
        ),
    )
    merged, notes = merge(old, new)
    first, second = (shot.operations[0] for shot in merged.shots)
    assert (first.params["strength"], first.locked, first.findings) == (0.2, True, old.shots[0].operations[0].findings)
    assert (second.params["strength"], second.enabled) == (0.9, False)
    assert [shot.range.stop for shot in merged.shots] == [50, 100]
    assert any("001: soften is locked and stays" in note for note in notes)
    assert any("002: soften was edited by hand and is replaced; lock it" in note for note in notes)
    assert merged.shots[0].range == new.shots[0].range


def test_locked_work_on_a_shot_that_is_gone_is_told(made: DecisionList) -> None:
    old = made.edit("bridge", 0, locked=True)
    new = replace(made, shots=made.shots[:1])
    assert any("bridge is no longer there" in note for note in merge(old, new)[1])


def test_a_list_that_cannot_be_written_leaves_the_old_one(made: DecisionList, tmp_path: Path) -> None:
    file = tmp_path / "clip.decisions.toml"
    lists.save(made, file, TOYS)
    before = file.read_text()
    broken = made.edit("001", 0, params={"strength": 7})
    with pytest.raises(SettingsError, match=r"shot 001, soften: 'strength' is 7"):
        lists.save(broken, file, TOYS)
    assert file.read_text() == before
    with pytest.raises(MediaError, match="cannot be written"):
        lists.save(made, tmp_path / "no such folder" / "x.toml", TOYS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.decisions.toml", "clip.mov"]


def test_every_operation_that_there_is_can_be_written_and_read(made: DecisionList, tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    chain = []
    for name in operations.names():
        params_type = operations.load(name).params_type
        needed = [field for field, entry in params_type.model_fields.items() if entry.is_required()]
        if not needed:
            chain.append(OperationDecision.of(name, params_type()))
    everything = replace(made, shots=(ShotDecision(ShotRange("001", 0, 100), tuple(chain)),))
    lists.save(everything, file, operations.load)
    assert lists.load(file, operations.load) == everything
    assert chain


def test_the_schema_has_all_that_a_list_may_say() -> None:
    made = lists.schema(TOYS)
    assert set(made["properties"]) == {"format", "chain", "chunk", "delivery", "versions", "source", "shot"}
    entries = made["properties"]["shot"]["items"]["properties"]["operation"]["items"]["oneOf"]
    assert [entry["title"] for entry in entries] == ["soften", "plain"]
    assert entries[0]["properties"]["params"]["properties"]["strength"]["maximum"] == 1
    assert "findings" not in entries[1]["properties"]
    assert "Region" in made["$defs"]

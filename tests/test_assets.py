"""Assets are known by their contents, move with their list, and are gone with it."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import clips
from answerprint.assets import Assets, names_in
from answerprint.errors import SettingsError
from answerprint.render import decide, job
from answerprint.render.options import Options
from answerprint.shots.decisions.model import DecisionList


def test_the_same_contents_have_one_name(tmp_path: Path) -> None:
    one, other = Assets(tmp_path / "a"), Assets(tmp_path / "b")
    name = one.put(b"contour", ".zip")
    assert name == one.put(b"contour", ".zip") == other.put(b"contour", ".zip") != one.put(b"other", ".zip")
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert list(names_in({"contours": name, "keys": (1, 2), "parts": [{"key": name}], "note": "none"})) == [name, name]


def test_temporary_assets_are_gone_with_their_list_and_workers_find_them() -> None:
    assets = Assets()
    path = assets.path(assets.put(b"contour", ".zip"))
    assert pickle.loads(pickle.dumps(assets)).path(path.name) == path
    assert path.is_file()
    del assets
    assert not path.parent.exists()


@pytest.mark.parametrize("name", ["../secret.zip", "/etc/passwd", "contours.zip"])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.zip").write_bytes(b"secret")
    with pytest.raises(SettingsError, match="not the name of an asset"):
        Assets(tmp_path / "a").path(name)


@pytest.fixture
def decisions(tmp_path: Path) -> DecisionList:
    """A ball cut out of two shots, and a grade inside of it."""
    source = clips.card(tmp_path / "here" / "clip.mov", codec="prores_ks", frames=4)
    mask = np.zeros((64, 96), np.uint8)
    cv2.circle(mask, (40, 24), 12, 255, -1)
    cv2.imwrite(str(source.parent / "mask.png"), mask)
    chain = [("cutout", {"prior": str(source.parent / "mask.png"), "deliver": "keep"}), ("grade", {"exposure": "1"})]
    return decide.analyze(source, chain, Options(shots="none"))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()


def test_a_list_that_moved_with_its_job_renders_the_same_bytes(tmp_path: Path, decisions: DecisionList) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    listed = here / "out.decisions.toml"
    decide.save(decisions, listed)
    assert len(list((here / "out.decisions.assets").iterdir())) == 1
    job.render(decisions, job.JobSpec(output=here / "out.mov", decisions=listed))
    right = (here / "out.mov").read_bytes()
    here.rename(there)
    (there / "out.mov").unlink()
    job.render(decide.load(there / listed.name), job.JobSpec(output=there / "out.mov", decisions=there / listed.name))
    assert (there / "out.mov").read_bytes() == right


def test_a_job_without_a_list_elsewhere_keeps_its_own(tmp_path: Path, decisions: DecisionList) -> None:
    out = tmp_path / "here" / "out.mov"
    job.deliver(decisions, out)
    right = out.read_bytes()
    shutil.rmtree(decisions.assets.folder)
    out.unlink()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there"
    job.deliver(decide.load(moved / "out.mov.job" / "decisions.toml"), moved / "again.mov")
    assert (moved / "again.mov").read_bytes() == right


def test_a_missing_asset_is_one_clear_line_before_any_work(tmp_path: Path, decisions: DecisionList) -> None:
    listed = tmp_path / "here" / "out.decisions.toml"
    decide.save(decisions, listed)
    shutil.rmtree(tmp_path / "here" / "out.decisions.assets")
    with pytest.raises(SettingsError, match=r"out\.decisions\.assets.*missing; copy the folder .*analyze") as caught:
        job.deliver(decide.load(listed), tmp_path / "out.mov")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out.mov*"))


def test_a_new_analysis_keeps_the_assets_of_what_is_locked_and_drops_the_rest(
    tmp_path: Path, decisions: DecisionList
) -> None:
    listed = tmp_path / "here" / "out.decisions.toml"
    decide.save(decisions.edit("001", 0, locked=True), listed)
    before = decide.load(listed)
    again = decide.analyze(before.source.path, [("cutout", {}), ("grade", {})], Options(shots="none"), before=before)
    decide.save(again, listed)
    assert {path.name for path in before.assets.folder.iterdir()} == again.asset_names() != set()
    decide.save(again.edit("001", 0, findings=None), listed)
    assert not list(before.assets.folder.iterdir())

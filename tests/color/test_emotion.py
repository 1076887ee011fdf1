"""Color emotion: the formulas of Ou et al. 2004 on colors that can be worked out by hand, and the table of moods."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from answerprint.color import emotion
from answerprint.errors import SettingsError


def test_the_formulas_at_points_worked_out_by_hand() -> None:
    gray = torch.tensor([50.0, 0.0, 0.0])
    assert float(emotion.warm(gray)) == pytest.approx(-0.5, abs=1e-4)
    assert float(emotion.heavy(gray)) == pytest.approx(0.4, abs=1e-5)
    assert float(emotion.active(gray)) == pytest.approx(-1.1, abs=1e-4)
    angle = math.radians(50)
    orange = torch.tensor([80.0, 40 * math.cos(angle), 40 * math.sin(angle)])
    assert float(emotion.warm(orange)) == pytest.approx(-0.5 + 0.02 * 40**1.07, abs=1e-4)
    assert float(emotion.heavy(orange)) == pytest.approx(-1.1, abs=1e-5)
    assert float(emotion.active(orange)) == pytest.approx(-1.1 + 0.03 * 50, abs=1e-4)


def test_a_picture_is_felt_as_the_mean_of_its_colors() -> None:
    colors = torch.tensor([[50.0, 0.0, 0.0], [20.0, 30.0, -10.0]])
    one = torch.stack([emotion.emotion(color[None]) for color in colors]).mean(0)
    assert torch.allclose(emotion.emotion(colors), one, atol=1e-6)


def test_every_mood_that_ships_says_where_it_comes_from_and_differs() -> None:
    known = emotion.moods()
    asked = {"calm sadness", "tension", "joy", "nostalgia", "mystery", "dread", "tenderness", "epic"}
    assert known.keys() == asked
    assert all(mood.source for mood in known.values())
    assert len({mood.target for mood in known.values()}) == len(known)
    assert known["joy"].warm > known["mystery"].warm and known["joy"].heavy < known["mystery"].heavy


def test_a_users_words_come_over_those_that_ship(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        '[joy]\nwarm = 1\nheavy = 0\nactive = 0.5\n["hung over"]\nwarm=0\nheavy=1\nactive=-1\n'
    )
    known = emotion.moods(tmp_path / "m.toml")
    assert known["joy"].warm == 1 and known["hung over"].active == -1 and "dread" in known


@pytest.mark.parametrize(
    "text",
    [
        "[joy]\nwarm = 1\n",
        "[joy]\nwarm=1\nheavy='x'\nactive=0\n",
        "joy = 3\n",
        "[joy\n",
        "[joy]\nwarm=1\nheavy=99\nactive=0\n",
        "[joy]\nwarm=nan\nheavy=0\nactive=0\n",
    ],
)
def test_a_wrong_table_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"m\.toml"):
        emotion.moods(tmp_path / "m.toml")

"""Files of any name: no protocol, no option, no markup; and decision lists and reports that name them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import clips
from answerprint import cli
from answerprint.media import reader

NAMES = [
    b"take 1\xff.mkv",
    b"http:take.mkv",
    b"concat:take.mkv",
    b"file:take.mkv",
    b"line\nline.mkv",
    b"\x1b[31mred.mkv",
    b"[/bold].mkv".replace(b"/", b"\\"),
    b"take..mkv.",
    b"take?x=1%41.mkv",
    b"-take.mkv",
]


def named(tmp_path: Path, name: bytes) -> Path:
    source = clips.card(tmp_path / "plain.mkv", frames=3)
    return source.rename(tmp_path / os.fsdecode(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_of_any_name_goes_from_info_to_a_report_and_a_second_render(
    tmp_path: Path, name: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    source = named(tmp_path, name)
    before = source.read_bytes()
    cli.main(["info", str(source)])
    chain = tmp_path / "look.toml"
    chain.write_text('[[operation]]\nname = "grade"\nsaturation = 0.5\n')
    out = source.with_name("out " + source.name + ".mkv")
    cli.main(["run", str(source), "--chain", str(chain), "-o", str(out)])
    listing = next(tmp_path.glob("*.decisions.toml"))
    listing.read_text(encoding="utf-8")
    assert next(tmp_path.glob("*.report.html")).read_text(encoding="utf-8")
    cli.main(["render", str(listing), "-o", str(tmp_path / "again.mkv")])
    assert (tmp_path / "again.mkv").read_bytes() == out.read_bytes()
    assert source.read_bytes() == before
    said = capfd.readouterr()
    assert "\x1b[31m" not in said.out + said.err


def test_shot_lists_and_exports_of_a_clip_that_is_no_utf8_are_text(tmp_path: Path) -> None:
    source = named(tmp_path, b"take\n\xff.mkv")
    for ending in ("edl", "otio", "csv"):
        cli.main(["shots", str(source), "-o", str(tmp_path / f"cuts.{ending}")])
        (tmp_path / f"cuts.{ending}").read_text(encoding="utf-8")
        out = tmp_path / f"{ending}.mkv"
        cli.main(
            ["filter", str(source), "-o", str(out), "--kind", "equalize", "--shots", str(tmp_path / f"cuts.{ending}")]
        )
        assert len(reader.open(out)) == 3


def test_the_export_of_a_clip_that_is_no_utf8_has_plain_names(tmp_path: Path) -> None:
    source = named(tmp_path, b"take\xff.mkv")
    chain = tmp_path / "look.toml"
    chain.write_text('[[operation]]\nname = "grade"\nsaturation = 0.5\n')
    cli.main(["analyze", str(source), "--chain", str(chain), "-o", str(tmp_path / "d.toml")])
    cli.main(["export", str(tmp_path / "d.toml"), "-o", str(tmp_path / "out"), "--sizes", "9"])
    files = list((tmp_path / "out").iterdir())
    assert len(files) > 5 and all(path.name.isascii() for path in files)
    for path in files:
        path.read_text(encoding="utf-8")


def test_pictures_in_a_folder_that_is_no_utf8(tmp_path: Path) -> None:
    source = clips.card(tmp_path / "plain.mkv", frames=3)
    folder = tmp_path / os.fsdecode(b"scan\xff")
    folder.mkdir()
    cli.main(["grade", str(source), "-o", str(folder / os.fsdecode(b"f\xfe.%04d.png"))])
    assert len(list(folder.iterdir())) == 3
    still = next(folder.iterdir())
    cli.main(["match", str(folder), "-o", str(tmp_path / "o.mkv"), "--reference", str(still), "--method", "reinhard"])
    assert len(reader.open(tmp_path / "o.mkv")) == 3


def test_a_folder_named_like_a_protocol_causes_no_connection(tmp_path: Path) -> None:
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def listen() -> None:
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        folder = tmp_path / "http:" / f"127.0.0.1:{port}"
        folder.mkdir(parents=True)
        clips.card(folder / "clip.mkv", frames=3, sounds=[clips.Sound()])
        relative = f"http://127.0.0.1:{port}/clip.mkv"
        words = ["grade", relative, "-o", f"http://127.0.0.1:{port}/out.mov", "--saturation", "0.5"]
        subprocess.run([sys.executable, "-m", "answerprint", *words], cwd=tmp_path, check=True)
        assert (folder / "out.mov").exists()
    assert not connections


def test_a_name_that_looks_like_an_option_is_told_how_to_write_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["info", "-take.mov"])
    assert stopped.value.code == 2 and "./-take.mov" in capsys.readouterr().err


def test_markup_in_tags_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import av

    path = tmp_path / "tagged.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = "[/x] [red]\x1b[2J\nsecond"
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    cli.main(["info", str(path)])
    said = capsys.readouterr().out
    assert r"[/x] [red]\x1b[2J\nsecond" in " ".join(said.split()) and "\x1b" not in said

"""The command: a profile of the smallest geometry, with an engine that runs nothing and with a real one."""

import pytest

from aptp.space.profile_file import read
from export.profile import engines
from export.profile.__main__ import main
from runtime.errors import UsageError


def test_it_says_what_it_does_and_what_came_out(mini, engine, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engines, "choose", lambda *_: engine)
    out = tmp_path / "profile.json"
    words = [
        "--checkpoint",
        str(mini),
        "--out",
        str(out),
        "--widths",
        "1",
        "--samples",
        "1",
        "--threads",
        "2",
    ]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "fake 1.0 in float32, 2 threads, 2 x 16x16 latents, 77 tokens: " in said
    assert "left to measure, about " in said
    assert "the pieces add up to" in said
    assert "whole UNet of 0." in said
    assert f"{out} is ready" in said
    assert read(out).complete
    assert main(words) == 0
    assert ": 0 left to measure" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_profile(mini, tmp_path):
    out = tmp_path / "profile.json"
    words = ["--checkpoint", str(mini), "--engine", "cpu", "--out", str(out), "--widths", "1"]
    assert main([*words, "--samples", "3", "--threads", "1"]) == 0
    found = read(out)
    assert found.setting.engine.startswith("cpu (onnxruntime")
    assert sum(part.seconds[part.gates] for part in found.parts) > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--widths", "0"], "--widths 0: give at least 1"),
        (["--rows", "-1"], "--rows -1: give at least 1"),
        (["--size", "64"], "--size: '64': give WIDTHxHEIGHT"),
        (["--size", "0x64"], "--size: '0x64': give WIDTHxHEIGHT"),
        (["--out", "missing/profile.json"], "there is no folder missing"),
        (["--out", "."], "is a folder; name a file"),
    ],
)
def test_mistakes(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        main(["--checkpoint", "made", "--out", "profile.json", *words])

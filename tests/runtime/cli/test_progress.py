from itertools import count
from types import SimpleNamespace

import pytest

from runtime.cli import progress as progress_module
from runtime.cli.markdown import table
from runtime.cli.progress import Counting, PartsProgress, Progress
from runtime.cli.terminal import open_console


def test_without_a_terminal_there_is_a_line_for_each_thing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.begin("step, 1 row [cpu]")
        progress.round("warm-up", 1, 1)
        progress.round("round", 1, 10)
        progress.begin("loop")
    captured = capsys.readouterr()
    assert captured.err == "step, 1 row [cpu]\nloop\n"
    assert captured.out == ""


def test_counting_without_a_terminal_tells_the_end_and_little_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Counting(open_console()) as progress:
        for done in range(1, 4):
            progress.tell("reading [1]", done, 3, "loss 1")
        progress.begin("steps", 10, 9)
        progress.tell("steps", 10, 10)
    told = capsys.readouterr().err
    assert told == "reading [1]: 3 of 3, loss 1, about 0 s left\nsteps: 10 of 10, about 0 s left\n"


def test_counting_tells_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 0.0, 10.0, 30.0])
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with Counting(open_console(), every=20) as progress:
        progress.begin("steps", 100, 10)
        progress.tell("steps", 11, 100)
        progress.tell("steps", 12, 100)
    assert capsys.readouterr().err == "steps: 12 of 100, about 22 min left\n"


def test_parts_without_a_terminal_tell_their_stages_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=count(0.0, 10.0).__next__))
    parts = [SimpleNamespace(name="small", effort=1.0), SimpleNamespace(name="large", effort=3.0)]
    with PartsProgress(open_console(), parts) as progress:
        progress.stage("large", "export", 0.0)
        progress.end("small", None)
        progress.end("large", "no space left")
    assert capsys.readouterr().err == (
        "[  10.0 s, time left unknown] large: export\n"
        "[  20.0 s, about 90 s left] small: done\n"
        "[  40.0 s, about 0 s left] large: no space left\n"
    )


def test_a_table_in_markdown() -> None:
    assert table(["a", "b"], [(1, "x"), (2, "y")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |"

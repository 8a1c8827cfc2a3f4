import pytest

from runtime.cli.progress import Progress


def test_without_a_terminal_there_is_a_line_for_each_thing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.begin("step, 1 row [cpu]")
        progress.round("warm-up", 1, 1)
        progress.round("round", 1, 10)
        progress.begin("loop")
    captured = capsys.readouterr()
    assert captured.err == "step, 1 row [cpu]\nloop\n"
    assert captured.out == ""

import json
from pathlib import Path

import pytest

from runtime.machine import facts


def test_the_environment_can_be_written_down() -> None:
    found = facts.environment()
    assert found["cores"] >= 1
    assert "numpy" in found["packages"]
    json.dumps(found)


def test_a_moment_tells_who_else_is_at_work() -> None:
    found = facts.moment()
    assert found["load"] >= 0
    assert found["time"].endswith("+00:00")


def test_variables_that_set_threads_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert facts.environment()["variables"]["OMP_NUM_THREADS"] == "3"


def test_a_gpu_is_read_through_its_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'A card, 9.0, 570.86, 81559 MiB, 700.00 W'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (card,) = facts.environment()["gpus"]
    assert card["name"] == "A card"
    assert card["driver_version"] == "570.86"


def test_without_the_tool_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "gpus" not in facts.environment()

"""The Python examples do what they say, on a synthetic bundle; C and C++ ones are built by tests/cpp."""

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from tests.bundles import write_bundle

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "python"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bundle(tmp_path_factory.mktemp("examples") / "bundle"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generate(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("generate").main(bundle, "red", str(tmp_path / "image.png"))
    with Image.open(tmp_path / "image.png") as image:
        assert image.size == (16, 16)
    assert capsys.readouterr().out.startswith("expert ")


def test_batch(bundle: str, tmp_path: Path) -> None:
    example("batch").main(bundle, str(tmp_path / "out"), "red", "blue", "circle")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "001.png", "002.png"]


def test_stream(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(example("stream").main(bundle, "red", "blue"))
    said = capsys.readouterr().out
    for prompt in ("red", "blue"):
        assert f"'{prompt}': step 5 of 5" in said
        assert f"'{prompt}': expert " in said


@pytest.fixture
def server(bundle: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--bundle", bundle, "--port", str(port), "--engine", "cpu", "--threads", "1", "--cold"]
    command = [sys.executable, "-m", "runtime.serve", *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=10).close()
                break
            except urllib.error.URLError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
        yield url
        process.terminate()


def test_serve_client(server: str, tmp_path: Path) -> None:
    example("serve_client").main(server, "red", str(tmp_path / "image.png"))
    with Image.open(tmp_path / "image.png") as image:
        assert json.loads(image.text["aptp"])["seed"] == 7  # type: ignore[attr-defined]


def test_train_folder_runs_commands_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    example("train_folder").main("dense", "pictures", str(tmp_path), "--train-steps", "2")
    modules = [command[2] for command in ran]
    assert modules == ["aptp.train", "aptp.finetune", "export.build"]
    for command in ran:
        offered = options(command[2])
        asked = {word for word in command[3:] if word.startswith("--")}
        assert asked <= offered, asked - offered


def options(module: str) -> set[str]:
    """Return the options that a command's help lists."""
    command: Any = [sys.executable, "-m", module, "--help"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=60)
    return {word.strip("[],.") for word in said.split() if word.strip("[],.").startswith("--")}

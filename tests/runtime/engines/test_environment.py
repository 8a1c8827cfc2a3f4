"""The environment of loaded engines: nothing is told to their makers, no thread is more than was granted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# What loading ONNX Runtime and one session of it leaves behind.
PROGRAM = """
import json, os, sys
from pathlib import Path
from runtime.engines.session import open_session
from runtime.machine import processor
before = len(os.listdir("/proc/self/task"))
processor.cores = lambda: int(sys.argv[2])
session = open_session(Path(sys.argv[1]), "cpu")
print(json.dumps({
    "telemetry": os.environ.get("ORT_DISABLE_TELEMETRY"),
    "threads": 1 + len(os.listdir("/proc/self/task")) - before,
    "left": sorted(path.name for path in Path(os.environ["HOME"]).rglob("*") if path.is_file()),
}))
"""


def told(graph: Path, home: Path, cores: int, **variables: str) -> tuple[dict[str, object], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(graph), str(cores)],
        env={"HOME": str(home), "PYTHONPATH": ":".join(filter(None, sys.path)), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("cores", [1, 3])
def test_threads_are_as_many_as_are_granted(unet: Path, tmp_path: Path, cores: int) -> None:
    found, errors = told(unet, tmp_path, cores)
    assert (found["threads"], errors) == (cores, "")  # the thread that calls is one of them


def test_telemetry_is_off(unet: Path, tmp_path: Path) -> None:
    found, _ = told(unet, tmp_path, 1)
    assert (found["telemetry"], found["left"]) == ("1", [])


def test_telemetry_is_what_the_user_says(unet: Path, tmp_path: Path) -> None:
    found, _ = told(unet, tmp_path, 1, ORT_DISABLE_TELEMETRY="yes")
    assert found["telemetry"] == "yes"

"""A process that forks after it opened a bundle: its child is told so in every call, and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The child goes through every call, opens the bundle for itself, and ends as programs do, by `sys.exit`.
PROGRAM = """
import asyncio, os, sys
from runtime import Forked, GenerationParams, Pipeline, Runtime

def opened(kind):
    return kind.open(sys.argv[1], engine="cpu", cache=sys.argv[2], threads=2)

pipeline, runtime = opened(Pipeline), opened(Runtime)
if sys.argv[3] == "used":
    pipeline.generate("a red circle", GenerationParams(steps=1))
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    pipeline.generate("a red circle", GenerationParams(steps=1))  # the parent goes on
    sys.exit(os.waitstatus_to_exitcode(status))

async def streamed():
    await runtime.generate("a red circle")

calls = {
    "generate": lambda: pipeline.generate("a red circle"),
    "call": lambda: pipeline("a red circle"),
    "route": lambda: pipeline.route("a red circle"),
    "free": pipeline.free,
    "status": runtime.status,
    "stream": lambda: asyncio.run(streamed()),
    "reload": lambda: asyncio.run(runtime.reload()),
    "drain": lambda: asyncio.run(runtime.drain()),
}
for name, call in calls.items():
    try:
        call()
    except Forked as refused:
        assert "open it in every child (after the fork)" in str(refused), refused
    else:
        sys.exit(f"{name} was not refused")
pipeline.close()
asyncio.run(runtime.close())
with opened(Pipeline) as own:
    own.generate("a red circle", GenerationParams(steps=1))
del pipeline, runtime
"""


@pytest.mark.parametrize("used", ["used", "unused"])
def test_a_child_is_refused_and_ends(bundle_path: Path, cache_path: Path, used: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(bundle_path), str(cache_path), used]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_thing_of_this_process_is_at_home() -> None:
    from runtime.machine.fork import Home

    home = Home()
    home.check()
    child = os.fork()
    if not child:
        os._exit(0 if home.is_left and not Home().is_left else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""A stranger follows docs/CPP.md word for word, and gets images, by tool and by example."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.sharing import shared

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[str]:
    """Return the commands of the section, in order, as they stand there."""
    text = (ROOT / "docs/CPP.md").read_text(encoding="utf-8")
    section = text.split("\n## Build it and draw\n")[1].split("\n## ")[0]
    return [line[4:] for line in section.splitlines() if re.match(r"    \S", line)]


def furnish(home: Path, bundle: Path) -> None:
    """Put into a home a copy of what the section speaks of, and a bundle where it says that one is."""
    project = home / "aptp-project"
    for name in ("cpp", "examples", "aptp/version.py", "LICENSE"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name)
        else:
            shutil.copy(ROOT / name, project / name)
    (project / "bundle").symlink_to(bundle)
    (project / ".venv").symlink_to(sys.prefix)


def follow(home: Path) -> None:
    """Type all of it, in a shell that stops at the first failure."""
    script = "\n".join(commands())
    assert "aptp-generate" in script
    assert "aptp-examples/cpp/consumer" in script
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("XDG_CACHE_HOME", None)
    if shutil.which("ccache"):
        environment |= {
            "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
            "CCACHE_DIR": os.path.expanduser("~/.cache/ccache"),
        }
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=home / "aptp-project",
        env=environment,
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def followed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where all of it was typed."""

    def make(home: Path) -> None:
        furnish(home, bundle)
        follow(home)

    return shared(tmp_path_factory, "home", make)


def test_the_tool_and_the_consumer_make_images(followed: Path) -> None:
    project = followed / "aptp-project"
    made = sorted((project / "out").iterdir())
    assert [path.name for path in made] == [
        "000-a-red-circle-seed0.png",
        "001-three-yellow-stars-seed1.png",
    ]
    with Image.open(made[0]) as by_tool, Image.open(project / "image.png") as by_consumer:
        assert by_tool.size == (64, 64)
        assert by_tool.tobytes() == by_consumer.tobytes()


def test_the_library_is_small_and_exports_its_interface_alone(followed: Path) -> None:
    library = (followed / "aptp/lib/libaptp.so").resolve()
    stripped = followed / "stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)
    assert stripped.stat().st_size <= 2_000_000
    listed = subprocess.run(
        ["nm", "--dynamic", "--defined-only", "--format=just-symbols", library],
        capture_output=True,
        text=True,
        check=True,
    )
    symbols = listed.stdout.split()
    assert "aptp_open" in symbols
    assert [name for name in symbols if not name.startswith("aptp_")] == []


@pytest.fixture
def service(followed: Path) -> Iterator[str]:
    """The example service, built as the consumer was; its address."""
    source, build = followed / "aptp-examples/cpp/service", followed / "service-build"
    for command in (
        ["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={followed / 'aptp'}"],
        ["cmake", "--build", build],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [build / "image-service", followed / "aptp-project/bundle", str(port)],
        env={**os.environ, "HOME": str(followed)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(60) == 0


def answer(url: str, path: str, **query: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(query)}", timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(done: Callable[[], Any]) -> Any:
    """Return what `done` gives, once it gives something and finds the service listening."""
    deadline = time.monotonic() + 120
    while True:
        try:
            if found := done():
                return found
        except OSError:  # it says where it is a moment before it listens
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_example_service_answers(service: str, followed: Path) -> None:
    status, png = until(lambda: answer(service, "/image", prompt="a red circle"))
    assert status == 200
    (followed / "served.png").write_bytes(png)
    with (
        Image.open(followed / "served.png") as served,
        Image.open(followed / "aptp-project/image.png") as other,
    ):
        assert served.tobytes() == other.tobytes()
    assert answer(service, "/image")[0] == 400
    assert answer(service, "/image", prompt="a", steps="-1")[0] == 400
    assert answer(service, "/image", prompt="a", code="dense")[0] == 404
    assert b'"finished": 1' in answer(service, "/status")[1]


def test_the_example_service_takes_back_what_nobody_waits_for(service: str) -> None:
    def status() -> dict[str, int]:
        counts: dict[str, int] = json.loads(answer(service, "/status")[1])
        return counts

    until(status)
    address = urllib.parse.urlsplit(service)
    clients = [socket.create_connection((address.hostname, address.port)) for _ in range(8)]
    for client in clients:
        client.sendall(b"GET /image?prompt=a&steps=50 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: sum(status()[name] for name in ("queued", "running", "finished")) == len(clients))
    for client in clients:
        client.close()
    counts = until(lambda: (found := status())["queued"] + found["running"] == 0 and found)
    assert counts["finished"] + counts["cancelled"] == len(clients)
    assert counts["cancelled"] >= 1

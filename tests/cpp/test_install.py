"""An installation can be moved, and is a package of Debian; programs find it by pkg-config and by CMake."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(1200)

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = ROOT / "examples/cpp/consumer"
SYSTEM = ("/lib", "/usr/lib", "/lib64")


def run(*command: Any, **options: Any) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=900, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def moved(build: Path, setting: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with its engines that was moved to another place."""
    if setting("APTP_BUNDLE_ENGINES") != "ON":
        pytest.fail(
            "the library was built without its engines beside it; configure with -DAPTP_BUNDLE_ENGINES=ON"
        )
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", build, "--prefix", folder / "here")
    return (folder / "here").rename(folder / "there")


def libraries(program: Path, folder: Path, *words: Any) -> set[str]:
    """Run a program, and return the paths of all libraries that it opened, sooner or later."""
    told = folder / "opened"
    # Nothing that the shell around us says helps to find a library.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LD_DEBUG": "libs",
        "LD_DEBUG_OUTPUT": str(told),
    }
    run(program, *words, cwd=folder, env=environment)
    text = "".join(path.read_text() for path in folder.glob("opened.*"))
    return set(re.findall(r"calling init: (/\S+)", text))


def check_libraries(paths: set[str], prefix: Path) -> None:
    """Every library is the system's or lies below `prefix`, and the engines are among the latter."""
    assert [path for path in paths if not path.startswith((*SYSTEM, str(prefix)))] == []
    ours = {Path(path).name for path in paths if path.startswith(str(prefix))}
    assert {"libaptp.so.1", "libonnxruntime.so.1"} <= ours


@pytest.fixture(scope="module")
def engines(setting: Callable[[str], str]) -> list[str]:
    return ["cpu", "openvino"] if setting("APTP_WITH_OPENVINO") == "ON" else ["cpu"]


def draw(program: Path, folder: Path, bundle: Path, engine: str, *words: Any) -> set[str]:
    made = folder / "out/000-a-red-circle-seed0.png"
    options = [
        "--bundle",
        bundle,
        "--cache",
        folder / "cache",
        "--steps",
        "2",
        "--engine",
        engine,
        "--overwrite",
    ]
    opened = libraries(program, folder, *options, *words, "a red circle")
    with Image.open(made) as image:
        image.load()
    return opened


def test_no_path_in_it_is_absolute(moved: Path, build: Path) -> None:
    for path in [moved / "bin/aptp-generate", *(moved / "lib").glob("libaptp.so.*")]:
        if path.is_symlink():
            continue
        told = run("readelf", "--dynamic", path)
        (runpath,) = re.findall(r"(?:RUNPATH|RPATH).*\[(.*)\]", told)
        assert all(part.startswith("$ORIGIN") for part in runpath.split(":")), runpath
    for path in moved.rglob("*"):
        if path.suffix in (".pc", ".cmake"):
            assert str(build) not in path.read_text()
            assert sys.prefix not in path.read_text()


def test_the_name_of_the_library_tells_its_interface(moved: Path) -> None:
    (abi,) = re.findall(r"^#define APTP_ABI (\d+)$", (moved / "include/aptp.h").read_text(), re.MULTILINE)
    assert f"[libaptp.so.{abi}]" in run("readelf", "--dynamic", moved / "lib/libaptp.so")


def test_the_licences_of_what_is_given_away_are_there(moved: Path, engines: list[str]) -> None:
    folder = moved / "share/doc/aptp"
    assert (folder / "LICENSE").exists()
    bundled = ["onnxruntime", "openvino"] if len(engines) > 1 else ["onnxruntime"]
    for name in bundled:
        assert any((folder / name).rglob("*LICENSE*"))


def test_the_tool_draws_where_it_was_moved_to(
    moved: Path, engines: list[str], bundle: Path, tmp_path: Path
) -> None:
    for engine in engines:
        check_libraries(draw(moved / "bin/aptp-generate", tmp_path, bundle, engine), moved)


@pytest.fixture
def unsanitized(setting: Callable[[str], str]) -> None:
    if setting("APTP_SANITIZE"):
        pytest.skip(
            "programs that were built without sanitizers do not load a library that was built with them"
        )


@pytest.mark.usefixtures("unsanitized")
def test_a_program_finds_it_by_pkg_config(moved: Path, bundle: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(moved / "lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "aptp", env=environment).split()
    rest = ["-std=c++17", f"-Wl,-rpath,{moved / 'lib'}", "-o", tmp_path / "draw"]
    run("c++", CONSUMER / "main.cpp", *flags, *rest)
    check_libraries(libraries(tmp_path / "draw", tmp_path, bundle, "a red circle", "image.png"), moved)
    with Image.open(tmp_path / "image.png") as image:
        image.load()


@pytest.mark.usefixtures("unsanitized")
def test_a_program_finds_it_by_cmake(moved: Path, bundle: Path, tmp_path: Path) -> None:
    run("cmake", "-S", CONSUMER, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={moved}")
    run("cmake", "--build", tmp_path / "build")
    check_libraries(libraries(tmp_path / "build/draw", tmp_path, bundle, "a red circle", "image.png"), moved)


def test_a_package_of_debian_draws_where_it_was_unpacked(build: Path, bundle: Path, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb, which packages of Debian are made with, is not here")
    made = tmp_path / "made"
    run(
        "cpack",
        "--config",
        build / "CPackConfig.cmake",
        "-B",
        made,
        "-D",
        "CPACK_DEBIAN_COMPRESSION_TYPE=none",
    )
    (package,) = made.glob("*.deb")
    needed = run("dpkg-deb", "--field", package, "Depends")
    assert "libc6" in needed
    assert "libpng" in needed
    root = tmp_path / "root"
    run("dpkg-deb", "--extract", package, root)
    check_libraries(draw(root / "usr/bin/aptp-generate", tmp_path, bundle, "cpu"), root)

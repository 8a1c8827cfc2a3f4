"""The cache's folder belongs to its user or to root, and a private one stands in for it."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.errors import CacheFailure
from runtime.files import cache_folder
from runtime.models import cache as module
from runtime.models.cache import Cache

ROOT = Path(__file__).resolve().parents[3]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
STRANGER = 1_000_680_000  # a user as OpenShift makes them: in group 0, without a name or a home

# Becomes a user of group 0, fills or reads the cache, and prints its folder and the warnings.
TRY = """
import os, sys, warnings
from runtime.bundle.reader import Bundle
from runtime.errors import AptpError
from runtime.models.cache import Cache
bundle = Bundle.open(sys.argv[1])
os.umask(int(sys.argv[4], 8))  # after the imports: Python may lie where only root can read it
os.setgroups([]); os.setgid(0); os.setuid(int(sys.argv[3]))
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    try:
        cache = Cache(sys.argv[2] or None, group_writable="group" in sys.argv[5:])
        for expert in bundle.manifest.experts.values():
            graph = cache.serving_graph(bundle, expert.model)
        print(cache.root, oct(os.stat(cache.root).st_mode), sep="\\n")
    except AptpError as error:
        print("refused", error, sep="\\n")
print(*(one.message for one in heard), sep="\\n")
"""


@pytest.fixture
def model(bundle: Bundle) -> Model:
    return bundle.manifest.experts["0"].model


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No private folder of an earlier test."""
    monkeypatch.setattr(cache_folder, "_private", {})


@pytest.fixture
def open_path(bundle_path: Path) -> Iterator[Path]:
    """A copy of the bundle, in a folder that every user may enter: pytest's are its own user's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(bundle_path, folder / "bundle")
    yield folder
    shutil.rmtree(folder)


def tried(
    open_path: Path, cache: str, *words: str, user: int = STRANGER, umask: str = "022", **variables: str
) -> list[str]:
    """The lines of `TRY`."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-c", TRY, str(open_path / "bundle"), cache, str(user), umask, *words]
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache().root == tmp_path / "aptp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Cache().root == tmp_path / ".cache" / "aptp"


def test_a_new_folder_is_its_owners_alone(
    bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = os.umask(0)
    try:
        Cache(tmp_path / "deep" / "cache").serving_graph(bundle, model)
    finally:
        os.umask(old)
    for folder in (tmp_path / "deep" / "cache", tmp_path / "deep" / "cache" / "serve"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (0o777, "can be written by every user: run `chmod o-w` on it"),
        (0o1777, "can be written by every user"),
        (0o770, "can be written by its group: run `chmod g-w` on it, or .* --cache-group-writable"),
        (0o2770, "can be written by its group"),
    ],
)
def test_a_folder_that_others_can_write_is_refused_by_name(tmp_path: Path, mode: int, message: str) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(CacheFailure, match=f"{folder}: {message}"):
        Cache(folder)
    if not mode & 0o002:
        assert Cache(folder, group_writable=True).root == folder
    folder.chmod(0o755)
    assert Cache(folder).root == folder


def test_another_users_folder_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: theirs)
    if tmp_path.stat().st_uid == 0:  # root's is trusted by everybody
        assert Cache(tmp_path).root == tmp_path
    else:
        with pytest.raises(CacheFailure, match=r"belongs to another user \(number .*--cache"):
            Cache(tmp_path)


@needs_root
def test_a_strangers_folder_is_refused_to_root_too(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, 0)
    with pytest.raises(CacheFailure, match=f"belongs to another user .number {STRANGER}.: name a folder"):
        Cache(tmp_path)


def test_a_default_that_others_can_write_gives_way(
    bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aptp").mkdir()
    (tmp_path / "aptp").chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match=r"aptp can be written by every user: .*name a folder with --cache"):
        cache = Cache()
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700
    assert cache.serving_graph(bundle, model).is_relative_to(cache.root)
    assert list((tmp_path / "aptp").iterdir()) == []


def test_a_user_without_a_home_is_warned_once(
    bundle: Bundle, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        one, other = Cache(), Cache()
        one.serving_graph(bundle, model)
    assert one.root == other.root
    (told,) = [str(each.message) for each in heard]
    assert told.startswith("this user has no home folder for a cache; weights are unpacked into ")


def test_without_any_folder_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(module, "default_folder", lambda: None)
    monkeypatch.setattr(cache_folder.tempfile, "mkdtemp", none)
    with pytest.raises(CacheFailure, match="no temporary folder can be made; name one with --cache"):
        Cache()


@needs_root
@pytest.mark.parametrize("variables", [{}, {"HOME": "/"}, {"HOME": "/nonexistent/home"}, {"HOME": "/root"}])
def test_a_container_without_a_home(open_path: Path, variables: dict[str, str]) -> None:
    root, mode, *heard = tried(open_path, "", **variables)
    assert Path(root).name.startswith("aptp-")
    assert mode.endswith("700")
    assert len(heard) == 1
    assert not Path(root).exists(), "it goes with its process"


@needs_root
def test_a_volume_that_its_group_can_write(open_path: Path) -> None:
    volume = open_path / "volume"
    volume.mkdir()
    volume.chmod(0o2770)  # root's, of group 0, as Kubernetes mounts them
    refused, why, *_ = tried(open_path, str(volume))
    assert refused == "refused"
    assert f"{volume}: can be written by its group" in why
    assert tried(open_path, str(volume), "group")[0] == str(volume)
    # A second user of the group goes on with it, whatever the umasks.
    (volume / "serve").rename(volume / "gone")
    assert tried(open_path, str(volume), "group", umask="077")[0] == str(volume)
    assert tried(open_path, str(volume), "group", user=STRANGER + 1)[0] == str(volume)


def test_a_default_that_holds_a_part_gives_way_for_the_rest(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (bundle.manifest.experts[name].model for name in ("0", "1"))
    there = Cache().serving_graph(bundle, first)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(module, "make_folder", refuse)
        cache = Cache()
        assert cache.serving_graph(bundle, first) == there
        with (
            pytest.warns(UserWarning, match="aptp cannot be written, Read-only file system; weights are"),
            pytest.raises(CacheFailure, match="cannot be written, Read-only file system"),
        ):
            cache.serving_graph(bundle, second)
    made = cache.serving_graph(bundle, second)
    assert made.is_relative_to(cache.root)
    assert not made.is_relative_to(tmp_path / "aptp")
    assert cache.serving_graph(bundle, first) == there
    assert cache.is_unchanged(bundle, first)


@needs_root
@pytest.mark.parametrize("named", [True, False])
def test_roots_finished_cache_is_used_by_whoever_may_only_read_it(open_path: Path, named: bool) -> None:
    place = open_path / "aptp"
    place.mkdir(mode=0o755)
    variables = {"XDG_CACHE_HOME": str(open_path)}
    chosen = str(place) if named else ""
    root, _, *heard = tried(open_path, chosen, user=0, **variables)
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert (root, heard) == (str(place), [""])
    root, _, *heard = tried(open_path, chosen, **variables)
    assert (root, heard) == (str(place), [""])


@needs_root
def test_roots_unfinished_cache_gives_way_only_as_the_default(open_path: Path) -> None:
    (open_path / "aptp").mkdir(mode=0o755)
    root, _, heard = tried(open_path, "", XDG_CACHE_HOME=str(open_path))
    assert Path(root).name.startswith("aptp-")
    assert f"the cache {open_path / 'aptp'} cannot be written, Permission denied; " in heard
    refused, why, *_ = tried(open_path, str(open_path / "aptp"))
    assert refused == "refused"
    assert "cannot be written, Permission denied" in why

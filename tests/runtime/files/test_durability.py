"""A publication survives a loss of power: its bytes reach the disk before its name, and its name at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.bundle.reader import Bundle
from runtime.files import publish
from runtime.models.cache import Cache

Events = list[tuple[str, Path]]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    """The files and folders that are synced, and the names that are given, in turn."""
    seen: Events = []

    def heard(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def rename(one: object, other: object, **rest: object) -> None:
            seen.append((name, Path(os.fspath(other))))  # type: ignore[call-overload]
            real(one, other, **rest)

        return rename

    def fsync(descriptor: int) -> None:
        seen.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))

    def exchange(one: Path, other: Path) -> bool:
        seen.append(("rename", other))
        return exchanged(one, other)

    exchanged = publish._exchange
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(publish, "_exchange", exchange)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, heard("rename", getattr(os, name)))
    return seen


def fill(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("one")


def check(events: Events, draft: Path, names: set[str], target: Path) -> None:
    """The whole draft is synced, then it gets its name, then the folder that holds the name is synced."""
    renamed = events.index(("rename", target))
    before = {path for what, path in events[:renamed] if what == "sync"}
    assert before == {draft / name for name in names}
    assert ("sync", target.parent) in events[renamed:]


def test_a_file(tmp_path: Path, events: Events) -> None:
    publish.write_file(tmp_path / "a", "one")
    (first, scratch), second, third = events
    assert (first, scratch.parent) == ("sync", tmp_path)
    assert [second, third] == [("rename", tmp_path / "a"), ("sync", tmp_path)]


@pytest.mark.parametrize("replace", [True, False])
def test_a_new_folder(tmp_path: Path, events: Events, replace: bool) -> None:
    with publish.publishing(tmp_path / "a", replace=replace) as folder:
        fill(folder)
    check(events, tmp_path / ".a.tmp", {"", "deep", "deep/file"}, tmp_path / "a")


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_in_the_place_of_another(
    tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    (tmp_path / "a").mkdir()
    if not exchanges:
        monkeypatch.setattr(publish, "_exchange", lambda one, other: False)
    with publish.publishing(tmp_path / "a") as folder:
        fill(folder)
    check(events, tmp_path / ".a.tmp", {"", "deep", "deep/file"}, tmp_path / "a")
    assert (tmp_path / "a" / "deep" / "file").read_text() == "one"


def test_an_entry_of_the_cache(bundle: Bundle, tmp_path: Path, events: Events) -> None:
    entry = Cache(tmp_path).serving_graph(bundle, bundle.manifest.experts["0"].model).parent
    draft = entry.with_name(f".{entry.name}.tmp")
    check(events, draft, {"", "serve.onnx", "serve.onnx.data"}, entry)

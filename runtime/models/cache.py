"""Files derived from a bundle and kept outside it: graphs with float32 weights, for engines to map and share.

An entry is published by rename, and verified once per process before use; a damaged one is built again.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.errors import CacheFailure, IntegrityError, ManifestError
from runtime.files.lock import locked
from runtime.files.publish import FULL, publishing
from runtime.files.strict_json import Fields, decode
from runtime.files.verified import FileEntry, VerifiedFiles

GRAPH, DATA, RECORD = "serve.onnx", "serve.onnx.data", "record.json"
_CHUNK = 8 * 1024 * 1024  # bytes of float16, a multiple of 2
_LOCKED = "another process builds this entry: wait for it to end, or name another folder with --cache"
_PATIENCE = 300.0  # seconds that an entry may take others to build


class Cache:
    """A cache folder; by default `$XDG_CACHE_HOME/aptp`, or `~/.cache/aptp`."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.root = Path(path) if path is not None else default_folder()
        self._entries: dict[str, VerifiedFiles] = {}

    def serving_graph(self, bundle: Bundle, model: Model) -> Path:
        """Return the checked graph to serve `model` from: in float32 where that can be made here.

        Raises `IntegrityError`, `CacheFailure`, `LockedError`.
        """
        if model.serve is None or model.weights is None:
            return bundle.model(model)[0]
        entries, key = bundle.manifest.files, _key(bundle, model)
        folder = self.root / "serve" / key
        # The first look takes no lock: a finished cache may be read-only.
        if self._damage(key, folder) is not None:
            size = 2 * entries[model.weights].size + entries[model.serve].size
            # Kept: the runtime in C++ takes the same lock, and would not see that it was removed.
            lock = locked(folder.with_suffix(".lock"), _LOCKED, seconds=_PATIENCE, keep=True)
            with _storage(folder, size), lock:
                self._publish(bundle, model, key, folder)
        return folder / GRAPH

    def is_unchanged(self, bundle: Bundle, model: Model) -> bool:
        """Whether the files that `serving_graph` gave last are still the very ones that it checked."""
        if model.serve is None or model.weights is None:
            return bundle.files.is_unchanged(model.paths)
        return self._entries[_key(bundle, model)].is_unchanged((GRAPH, DATA))

    def _publish(self, bundle: Bundle, model: Model, key: str, folder: Path) -> None:
        damage = self._damage(key, folder)
        if damage is None:  # another process was faster
            return
        if folder.exists():
            warnings.warn(f"the cache entry {folder} is damaged and is built again: {damage}", stacklevel=3)
        _build(bundle, model, folder)
        damage = self._damage(key, folder)
        if damage is not None:
            raise CacheFailure(f"{folder}: does not keep what is written to it: {damage}") from damage

    def _damage(self, key: str, folder: Path) -> Exception | None:
        """Why the entry cannot be used, or None. Checked before and unchanged since, it is not read again."""
        try:
            if key not in self._entries:
                self._entries[key] = _entry(folder)
            self._entries[key].verify()
        except (IntegrityError, ManifestError) as error:
            self._entries.pop(key, None)
            return error
        return None


def default_folder() -> Path:
    """Where derived files go if the user names no place. Raises `CacheFailure` for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "aptp"
    except RuntimeError as error:
        raise CacheFailure("this user has no home folder; name a folder with --cache") from error


def _key(bundle: Bundle, model: Model) -> str:
    entries = bundle.manifest.files
    hashes = [entries[path].sha256 for path in (model.weights, model.serve) if path is not None]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _entry(folder: Path) -> VerifiedFiles:
    """Return the files that an entry's record lists. Raises `ManifestError` if the record is missing or
    wrong.
    """
    try:
        fields = Fields(decode((folder / RECORD).read_bytes(), RECORD, ManifestError), RECORD, ManifestError)
    except OSError as error:
        raise ManifestError(f"{folder / RECORD}: {error.strerror}") from error
    files = {}
    for name in (GRAPH, DATA):
        entry = fields.fields(name)
        files[name] = FileEntry(entry.integer("size"), entry.text("sha256"))
    return VerifiedFiles(folder, files, "the cache entry is damaged")


def _build(bundle: Bundle, model: Model, folder: Path) -> None:
    assert model.serve is not None
    assert model.weights is not None
    with publishing(folder) as partial:
        record = {
            GRAPH: _write(partial / GRAPH, iter([bundle.read(model.serve)])),
            DATA: _write(partial / DATA, _widened(bundle, model.weights)),
        }
        _write(partial / RECORD, iter([json.dumps(record, sort_keys=True).encode()]))


def _widened(bundle: Bundle, weights: str) -> Iterator[bytes]:
    for chunk in bundle.files.chunks(weights, _CHUNK):
        yield np.frombuffer(chunk, "<f2").astype("<f4").tobytes()


def _write(path: Path, chunks: Iterator[bytes]) -> dict[str, int | str]:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@contextmanager
def _storage(folder: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in FULL else error.strerror
        raise CacheFailure(
            f"{folder}: cannot be written, {what}; it needs {size} bytes: "
            "free them, or name another folder with --cache"
        ) from error

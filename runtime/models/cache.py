"""Files derived from a bundle and kept outside it: graphs with float32 weights, for engines to map and share.

An entry is published by rename, and checked against the bundle's manifest once per process before use; a
damaged or forged one is built again.
"""

import errno
import hashlib
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.errors import CacheFailure, IntegrityError
from runtime.files.cache_folder import check_folder, default_folder, find_fault, make_folder, private_folder
from runtime.files.lock import locked
from runtime.files.publish import FULL, publishing
from runtime.models.unpacked import DATA, GRAPH, UnpackedFiles, widened

_CHUNK = 8 * 1024 * 1024  # bytes of float16, a multiple of 2
_LOCKED = "another process builds this entry: wait for it to end, or name another folder with --cache"
_PATIENCE = 300.0  # seconds that an entry may take others to build
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Cache:
    """A cache folder; by default `$XDG_CACHE_HOME/aptp`, or `~/.cache/aptp`.

    It has to be this user's or root's, and writable by no other user; `group_writable` trusts its group.
    """

    def __init__(self, path: str | Path | None = None, *, group_writable: bool = False) -> None:
        """Choose the folder. Raises `CacheFailure` for one that breaks the rule."""
        self._group_writable, self._is_default = group_writable, path is None
        self.root = self._choose() if path is None else Path(path)
        check_folder(self.root, group_writable=group_writable)
        self._entries: dict[str, UnpackedFiles] = {}

    def _choose(self) -> Path:
        folder = default_folder()
        if folder is None:
            return private_folder("this user has no home folder for a cache")
        fault = find_fault(folder, group_writable=self._group_writable)
        return folder if fault is None else private_folder(f"the cache {folder} {fault}")

    def serving_graph(self, bundle: Bundle, model: Model) -> Path:
        """Return the checked graph to serve `model` from: in float32 where that can be made here.

        Raises `IntegrityError`, `CacheFailure`, `LockedError`.
        """
        if model.serve is None or model.weights is None:
            return bundle.model(model)[0]
        key = _key(bundle, model)
        # The first look takes no lock: a finished cache may be read-only.
        if self._damage(bundle, model, key) is not None:
            self._make(bundle, model, key)
        return self._entries[key].root / GRAPH  # which may lie in the default that later gave way

    def is_unchanged(self, bundle: Bundle, model: Model) -> bool:
        """Return whether the files that `serving_graph` gave last are still the very ones that it checked."""
        if model.serve is None or model.weights is None:
            return bundle.files.is_unchanged(model.paths)
        return self._entries[_key(bundle, model)].is_unchanged((GRAPH, DATA))

    def _folder(self, key: str) -> Path:
        return self.root / "serve" / key

    def _make(self, bundle: Bundle, model: Model, key: str) -> None:
        size = _size(bundle, model)
        try:
            self._publish(bundle, model, key)
        except OSError as error:
            folder = self._folder(key)
            if not self._is_default or error.errno not in _UNWRITABLE:
                raise _failure(folder, error, size) from error
            self.root = private_folder(f"the cache {self.root} cannot be written, {error.strerror}")
            self._is_default = False
            try:
                self._publish(bundle, model, key)
            except OSError as again:
                raise _failure(self._folder(key), again, size) from again

    def _publish(self, bundle: Bundle, model: Model, key: str) -> None:
        folder = self._folder(key)
        with self._alone(folder):
            damage = self._damage(bundle, model, key)
            if damage is None:  # another process was faster
                return
            if folder.exists():
                warnings.warn(
                    f"the cache entry {folder} is damaged and is built again: {damage}", stacklevel=3
                )
            _build(bundle, model, folder, shared=self._group_writable)
            damage = self._damage(bundle, model, key)
            if damage is not None:
                raise CacheFailure(f"{folder}: does not keep what is written to it: {damage}") from damage

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Hold the lock of the entry `folder`, in folders made and checked. Raises OSError as well."""
        for place in (self.root, folder.parent):
            make_folder(place, group_writable=self._group_writable)
        check_folder(self.root, group_writable=self._group_writable)
        # Kept: the runtime in C++ takes the same lock, and would not see that it was removed.
        mode = 0o660 if self._group_writable else 0o600
        with locked(folder.with_suffix(".lock"), _LOCKED, seconds=_PATIENCE, keep=True, mode=mode):
            yield

    def _damage(self, bundle: Bundle, model: Model, key: str) -> IntegrityError | None:
        """Return why the entry cannot be used, or None. Checked before and unchanged since, it is not read
        again.
        """
        assert model.serve is not None
        assert model.weights is not None
        if key not in self._entries:
            listed = bundle.manifest.files
            self._entries[key] = UnpackedFiles(
                self._folder(key), listed[model.serve], listed[model.weights], "the cache entry is damaged"
            )
        try:
            self._entries[key].verify()
        except IntegrityError as error:
            self._entries.pop(key, None)
            return error
        return None


def _key(bundle: Bundle, model: Model) -> str:
    entries = bundle.manifest.files
    hashes = [entries[path].sha256 for path in (model.weights, model.serve) if path is not None]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _size(bundle: Bundle, model: Model) -> int:
    """Return the bytes of a model's entry."""
    entries = bundle.manifest.files
    return 2 * entries[str(model.weights)].size + entries[str(model.serve)].size


def _build(bundle: Bundle, model: Model, folder: Path, *, shared: bool) -> None:
    assert model.serve is not None
    assert model.weights is not None
    with publishing(folder) as partial:
        _write(partial / GRAPH, iter([bundle.read(model.serve)]))
        _write(partial / DATA, map(widened, bundle.files.chunks(model.weights, _CHUNK)))
        if shared:  # whatever the umask: others of the group read them
            for path in (partial, *partial.iterdir()):
                path.chmod(stat.S_IMODE(path.stat().st_mode) | (0o050 if path == partial else 0o040))


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)


def _failure(folder: Path, error: OSError, size: int) -> CacheFailure:
    what = "the disk is full" if error.errno in FULL else error.strerror or os.strerror(error.errno or 0)
    return CacheFailure(
        f"{folder}: cannot be written, {what}; it needs {size} bytes: "
        "free them, or name another folder with --cache"
    )

"""Files beneath a folder that are only handed out after their size and SHA-256 were checked.

Refuses paths that could leave the folder, symbolic links at any component, and what is not a regular file.
A check is remembered until the file's device, inode, size, mtime or ctime change.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from runtime.errors import AptpError, IntegrityError, ManifestError

PATH_LENGTH = 255
_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO returns at once, and is then refused as no regular file.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileEntry:
    """The entry that a file must equal: `size` in bytes, `sha256` in lower-case hex."""

    size: int
    sha256: str


def check_path(
    path: str, where: str, error: type[AptpError] = ManifestError, *, within: str = "bundle"
) -> str:
    """Return `path` if it follows the rule that both formats have for paths. Raises `error`."""
    if len(path) > PATH_LENGTH or not all(map(_COMPONENT.fullmatch, path.split("/"))):
        raise error(
            f"{where}: {path[:64]!a} is not a path inside the {within} (parts of letters, digits, '.', '_' "
            f"and '-', not beginning with '.' or '-', joined by '/', at most {PATH_LENGTH} characters)"
        )
    return path


@contextmanager
def open_beneath(root: Path, path: str, remedy: str) -> Iterator[BufferedReader]:
    """Open the regular file `path` beneath `root` for reading; `remedy` ends every refusal.

    Raises `ManifestError`, `IntegrityError`.
    """
    check_path(path, str(root))
    *folders, name = path.split("/")
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for folder in folders:
            descriptor = _step(descriptor, folder, _FOLDER)
        descriptor = _step(descriptor, name, _FILE)
    except OSError as error:
        raise IntegrityError(f"{root}/{path}: {_reason(error)}; {remedy}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IntegrityError(f"{root}/{path}: is not a regular file; {remedy}")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "is missing"
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is a link, or is reached through one or through something that is no folder"
    return f"cannot be opened: {error.strerror}"


def _step(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)


def list_files(root: Path, skip: tuple[str, ...] = ()) -> dict[str, FileEntry]:
    """List what every file below `root` is now, by its path, sorted: to be listed where none is yet.

    Raises `ManifestError`, `IntegrityError` for what `open_beneath` refuses.
    """
    found = {}
    for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()):
        if name not in skip:
            with open_beneath(root, name, "replace it by a file") as file:
                size = os.fstat(file.fileno()).st_size
                found[name] = FileEntry(size, hashlib.file_digest(file, "sha256").hexdigest())
    return found


class VerifiedFiles:
    """The files that `entries` list, beneath `root`; `remedy` ends every refusal."""

    def __init__(self, root: Path, entries: Mapping[str, FileEntry], remedy: str) -> None:
        self.root, self.entries, self.remedy = root, entries, remedy
        self._checked: dict[str, tuple[int, ...]] = {}

    def file(self, path: str) -> Path:
        """Return the place of a file whose bytes were checked, now or earlier and unchanged since."""
        entry = self._entry(path)
        with open_beneath(self.root, path, self.remedy) as file:
            stamp = _stamp(file)
            if self._checked.get(path) != stamp:
                self._check_size(path, os.fstat(file.fileno()).st_size, entry)
                self._check_hash(path, self.digest(path, file), entry)
                if _stamp(file) != stamp:
                    raise IntegrityError(
                        f"{self.root}/{path}: changed while it was being read; {self.remedy}"
                    )
                self._checked[path] = stamp
        return self.root / path

    def digest(self, path: str, file: BufferedReader) -> str:
        """Return the SHA-256 that is compared with the entry of `path`: of the open file's bytes."""
        return hashlib.file_digest(file, "sha256").hexdigest()

    def read(self, path: str) -> bytes:
        """Read a file's bytes; the very bytes returned are the ones that were checked."""
        entry = self._entry(path)
        with open_beneath(self.root, path, self.remedy) as file:
            self._check_size(path, os.fstat(file.fileno()).st_size, entry)
            data = file.read(entry.size + 1)
        self._check_size(path, len(data), entry)
        self._check_hash(path, hashlib.sha256(data).hexdigest(), entry)
        return data

    def chunks(self, path: str, size: int) -> Iterator[bytes]:
        """Yield a file's bytes in pieces of `size`. A wrong file raises only after the last piece."""
        entry, digest, total = self._entry(path), hashlib.sha256(), 0
        with open_beneath(self.root, path, self.remedy) as file:
            self._check_size(path, os.fstat(file.fileno()).st_size, entry)
            while total < entry.size and (chunk := file.read(min(size, entry.size - total))):
                digest.update(chunk)
                total += len(chunk)
                yield chunk
            self._check_size(path, total + len(file.read(1)), entry)
        self._check_hash(path, digest.hexdigest(), entry)

    def is_unchanged(self, paths: Iterable[str]) -> bool:
        """Return whether these files are still the very ones that `file` checked."""
        try:
            return all(self._checked.get(path) == self._now(path) for path in paths)
        except IntegrityError:
            return False

    def verify(self) -> None:
        """Check every listed file. Raises `IntegrityError` at the first wrong one."""
        for path in sorted(self.entries):
            self.file(path)

    def check_unlisted(self, folder: str) -> None:
        """Refuse unlisted files below `folder`: a loader might prefer them. Raises `IntegrityError`."""
        for path in sorted((self.root / folder).rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if "/" in name and name not in self.entries and (path.is_symlink() or not path.is_dir()):
                raise IntegrityError(f"{path}: is not listed; remove it")

    def _now(self, path: str) -> tuple[int, ...]:
        with open_beneath(self.root, path, self.remedy) as file:
            return _stamp(file)

    def _entry(self, path: str) -> FileEntry:
        if path not in self.entries:
            raise IntegrityError(f"{self.root}/{path}: is not listed; {self.remedy}")
        return self.entries[path]

    def _check_size(self, path: str, size: int, entry: FileEntry) -> None:
        if size != entry.size:
            raise IntegrityError(f"{self.root}/{path}: {size} bytes instead of {entry.size}; {self.remedy}")

    def _check_hash(self, path: str, digest: str, entry: FileEntry) -> None:
        if digest != entry.sha256:
            raise IntegrityError(
                f"{self.root}/{path}: SHA-256 {digest} instead of {entry.sha256}; {self.remedy}"
            )


def _stamp(file: BufferedReader) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

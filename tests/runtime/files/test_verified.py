"""A file is the one that was hashed, or it is refused."""

import hashlib
import os
from pathlib import Path

import pytest

from runtime.errors import IntegrityError
from runtime.files.verified import FileEntry, VerifiedFiles

DATA = b"some bytes"


class Overtaken(VerifiedFiles):
    """Files that somebody changes after their last byte was hashed: `change` is done to them then."""

    def digest(self, path, file):
        found = super().digest(path, file)
        self.change(self.root / path)
        return found


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    """As long as before, and as old."""
    before = path.stat()
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, (0, 0))


@pytest.mark.parametrize("change", [append, rewrite, touch])
def test_a_file_that_changes_while_it_is_hashed_is_refused(tmp_path: Path, change) -> None:
    (tmp_path / "file").write_bytes(DATA)
    # Clocks of file systems tick: whatever happens within a tick of the file's making could not be seen.
    os.utime(tmp_path / "file", (1, 1))
    files = Overtaken(tmp_path, {"file": FileEntry(len(DATA), hashlib.sha256(DATA).hexdigest())}, "stop")
    files.change = change
    with pytest.raises(IntegrityError, match="file: changed while it was being read; stop"):
        files.file("file")
    assert not files.is_unchanged(["file"])

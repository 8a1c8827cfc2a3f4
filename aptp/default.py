"""The small checkpoint that `export.build` uses when none is given.

Its weights are random until a trained one ships: the checkpoint is made on first use and kept in the cache,
under the identity of all that decides its bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from importlib.metadata import version
from pathlib import Path

from aptp.checkpoint.reader import Checkpoint
from aptp.create import create
from aptp.errors import Refused, StorageError


def default_checkpoint(cache: Path | None = None) -> Path:
    """The folder of the default checkpoint, below ``cache`` (default: the user's cache folder).

    Made if it is not there, and made again if it is damaged. Raises StorageError where the cache cannot be
    written.
    """
    folder = (cache or _cache()) / "checkpoints" / f"tiny-{_identity()[:16]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two first builds at once one makes it, the other waits
            if not _is_whole(folder):
                shutil.rmtree(folder, ignore_errors=True)
                create(folder, preset="tiny")
    except OSError as error:
        raise StorageError(
            f"the cache {folder.parent} cannot be written ({error.strerror}); name another with --cache"
        ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        Checkpoint.open(folder).verify()
    except Refused:
        return False
    return True


def _identity() -> str:
    """SHA-256 over this package's source and the libraries that draw the weights and write the files."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    for library in ("torch", "diffusers", "transformers", "safetensors"):
        total.update(version(library).encode())
    return total.hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aptp"

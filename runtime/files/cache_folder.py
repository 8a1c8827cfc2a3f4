"""The folder for derived files: where it is, and that nobody else can have put anything there.

Engines map files of the cache and parse them in native code, so it belongs to this user or to root, and only
its owner may write to it. A named folder that breaks the rule is refused. The default that breaks it, or that
cannot be written, gives way to a private temporary folder, and a warning says so.
"""

import atexit
import errno
import os
import shutil
import stat
import tempfile
import warnings
from pathlib import Path

from runtime.errors import CacheFailure

_private: dict[int, Path] = {}  # the temporary folder of each process: a fork makes its own


def default_folder() -> Path | None:
    """Return `$XDG_CACHE_HOME/aptp`, or `~/.cache/aptp`; None for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "aptp"
    except RuntimeError:
        return None


def find_fault(folder: Path, *, group_writable: bool = False) -> str | None:
    """Return why what lies in `folder` cannot be trusted, with the remedy; None where it can, or is nothing.

    `group_writable`: users of its group are trusted too.
    """
    try:
        found = folder.stat()
    except OSError:  # whoever writes there will say what is wrong
        return None
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (number {found.st_uid}): name a folder of your own with --cache"
    if found.st_mode & stat.S_IWOTH:
        return "can be written by every user: run `chmod o-w` on it"
    if found.st_mode & stat.S_IWGRP and not group_writable:
        return "can be written by its group: run `chmod g-w` on it, or trust them by --cache-group-writable"
    return None


def make_folder(folder: Path, *, group_writable: bool = False) -> None:
    """Make `folder` unless it is there, for its owner alone or for its group as well. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
        return
    if group_writable:  # whatever the umask
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o070)


def check_folder(folder: Path, *, group_writable: bool = False) -> None:
    """Raise `CacheFailure` where `find_fault` finds one."""
    fault = find_fault(folder, group_writable=group_writable)
    if fault is not None:
        raise CacheFailure(f"{folder}: {fault}")


def private_folder(why: str) -> Path:
    """Return this process's own temporary folder, gone when it ends, and warn `why` it is used.

    Raises `CacheFailure` where there is none to be had.
    """
    process = os.getpid()
    if process not in _private:
        try:
            _private[process] = Path(tempfile.mkdtemp(prefix="aptp-"))
        except OSError as error:
            raise CacheFailure(
                f"{why}, and no temporary folder can be made; name one with --cache"
            ) from error
        atexit.register(_remove, process, _private[process])
        warnings.warn(
            f"{why}; weights are unpacked into {_private[process]}, until this process ends: "
            "name a folder with --cache to keep them",
            stacklevel=2,
        )
    return _private[process]


def _remove(process: int, folder: Path) -> None:
    if process == os.getpid():  # a forked child ends before its parent
        shutil.rmtree(folder, ignore_errors=True)

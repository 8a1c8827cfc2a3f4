"""The places where a build may work: the bundle's own and the two folders beside it.

A build replaces what stands there, so it refuses a place that holds anything else, or that is
a mount.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.bundle.manifest import MANIFEST
from runtime.errors import UsageError
from runtime.files.lock import locked
from runtime.files.publish import check_place

LOCK, PARTS, REPORT = "lock", "parts", "report.json"


def build_folder(out: Path) -> Path:
    """Return where a build of `out` keeps what it has finished."""
    return out.with_name(out.name + ".build")


def report_folder(out: Path) -> Path:
    """Return where measurements of the bundle `out` lie."""
    return out.with_name(out.name + ".report")


def stage_folder(out: Path, key: str) -> Path:
    """Return where a finished part is staged."""
    return build_folder(out) / PARTS / key


def place(out: Path) -> Path:
    """Return where the bundle goes: `out`, absolute and with links followed. Raises UsageError."""
    try:
        found = out.resolve()
        if not found.name:
            raise UsageError(f"--out {out}: is the root of the file system; choose a folder in it")
        _check(found, {MANIFEST}, "a bundle")
        _check(build_folder(found), {LOCK, PARTS}, "an unfinished build")
        _check(report_folder(found), {REPORT}, "a bundle's report")
    # Before Python 3.13 a loop of links is a RuntimeError.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--out {out}: {reason}; choose another") from error
    for folder in (found, report_folder(found)):  # known now, or at the end of the build
        try:
            check_place(folder)
        except OSError as error:
            raise UsageError(f"--out {folder}: {error.strerror}") from error
    return found


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the bundle's lock; its folder goes with it, unless a build has left something to resume from."""
    lock = build_folder(out) / LOCK
    try:
        with locked(lock, "wait for that build or choose another --out"):
            yield
    finally:
        with suppress(OSError):
            lock.parent.rmdir()


def _check(folder: Path, marks: set[str], what: str) -> None:
    """Raise UsageError unless `folder` is absent, empty or marked as ours."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"--out: {folder} is there and is not a folder; choose another --out")
    names = {path.name for path in folder.iterdir()}
    if names and not names & marks:
        raise UsageError(
            f"--out: {folder} holds something that is not {what}, and would be replaced; choose another "
            "--out, or remove it"
        )

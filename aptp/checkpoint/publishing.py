"""Publishing a checkpoint's folder, whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from runtime.errors import StorageError, UsageError
from runtime.files.lock import locked
from runtime.files.publish import FULL, check_place, publishing


def check_target(out: Path) -> None:
    """Raise UsageError if `out` already holds something, StorageError if it cannot be used."""
    try:
        occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
        check_place(out.absolute())
    except OSError as error:
        raise StorageError(f"{str(out)[:120]}: cannot be used as a folder: {error.strerror}") from error
    if occupied:
        raise UsageError(f"{out} already exists and is not empty; choose another folder or remove it")


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """Yield a draft folder beside `out` that becomes `out` when the block ends well, and vanishes when it
    does not.

    A draft left behind by a killed process is taken over. Raises UsageError if `out` already holds
    something, LockedError if another process is writing it, StorageError if the disk cannot take it.
    """
    check_target(out)
    place = out.absolute()
    lock = place.with_name(f".{place.name}.lock")
    try:
        with locked(lock, "wait for it to end"), publishing(place, replace=False) as draft:
            yield draft
    except (OSError, SafetensorError) as error:
        what = "no room left on the disk; free some" if _disk_is_full(error) else str(error)
        raise StorageError(f"{out} cannot be written: {what}, and run the command again") from error


def _disk_is_full(error: OSError | SafetensorError) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(f"(os error {number})" in str(error) for number in FULL)  # safetensors keeps no errno

"""Numbers that commands and callers give."""

from runtime.errors import UsageError


def check_limit(value: int | None, name: str) -> int | None:
    """Return `value` if it is None or an integer of at least 1. Raises `UsageError`, which says `name`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UsageError(f"{name} {value!r}: give an integer")
    if value is not None and value < 1:
        raise UsageError(f"{name} {value}: give an integer of at least 1")
    return value

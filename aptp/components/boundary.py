"""The boundary around libraries that read a user's files: whatever they raise becomes one typed error.

A config may hold any JSON, and libraries fail on it in any way: by a key, a type, a division by zero, or more
memory than there is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import AptpError, CheckpointError

LONGEST = 300


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn any exception inside into a CheckpointError, `what: why`; errors of our own pass as they are."""
    try:
        yield
    except AptpError:
        raise
    except Exception as error:
        raise CheckpointError(f"{what}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return an exception's message on one line, with its type where the message says little."""
    text = " ".join(str(error).split())[:LONGEST]
    told = isinstance(error, OSError | ValueError | RuntimeError) and len(text) > 20
    return text if told else f"{type(error).__name__}{f' ({text})' if text else ''}"

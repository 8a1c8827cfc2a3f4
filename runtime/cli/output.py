"""A command's results, on standard output. A reader that leaves, such as `head`, ends nothing."""

import os
import sys

from runtime.errors import OutputFailure


def put(text: str) -> None:
    """Print `text` and a line's end, unless the reader has left. Raises `OutputFailure`."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Python writes what is left at the end of the process, and must not fail then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except OSError as error:
        raise OutputFailure(f"standard output: {error.strerror}; send it elsewhere") from error


def open_missing() -> None:
    """Open streams that the process was started without, so that writing to them is no mistake."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))

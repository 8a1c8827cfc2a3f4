"""The errors of TensorRT's builder: their meaning and remedy.

Its messages name kernels and source lines, and the commonest of them names the wrong cause: a node without an
implementation is nearly always a GPU without memory to try one.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from runtime.errors import BuilderError


class Meaning(NamedTuple):
    """The meaning of a message that matches `pattern`, and the remedy."""

    pattern: str
    what: str
    remedy: str


_MEMORY = (
    "free the GPU of other processes, or build on one with more memory; most of it goes to the largest batch "
    "of the profile"
)
# The first that any message matches is the one: memory before whatever a lack of memory looks like.
MEANINGS = (
    Meaning(r"out of memory|outofmemory|insufficient memory", "the GPU ran out of memory", _MEMORY),
    Meaning(
        r"could not find any implementation for node",
        "no kernel could be tried for a node, which nearly always is a lack of GPU memory",
        _MEMORY,
    ),
    Meaning(
        r"sm \S+ is not supported|not supported by this tensorrt|unsupported sm",
        "this release does not know this GPU",
        "install a release of TensorRT that lists it",
    ),
    Meaning(
        r"driver version is insufficient|cuda initialization failure|cuda error: 35",
        "the driver is older than this release needs",
        "update the driver, or install an older TensorRT",
    ),
    Meaning(
        r"no importer registered|unsupported operator|unsupported_node|in operator:",
        "its parser does not take the graph",
        "`python -m export.lint` names the node; report it with the exporter's versions",
    ),
    Meaning(
        r"optimization profile|kmin|kopt|kmax",
        "the profile does not fit the graph",
        "give a batch and a size that the model takes",
    ),
)
_LONGEST = 300


def translated(said: Sequence[str], end: str) -> BuilderError:
    """Return the error for what a builder `said` before its `end`, both as its log has them."""
    for meaning in MEANINGS:
        for line in said:
            if re.search(meaning.pattern, line, re.IGNORECASE):
                return BuilderError(f"TensorRT: {meaning.what}; {meaning.remedy}. It said: {_short(line)}")
    said_last = said[-1] if said else end
    return BuilderError(f"TensorRT gave up, and this package does not know why. It said: {_short(said_last)}")


def _short(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

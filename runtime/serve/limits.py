"""Limits on what a client may cost before anything is asked of the runtime, which itself says how many it
lets in.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Seconds and bytes; past any of them the connection is closed, with a reply where one can be sent.

    `head`: from a request's first byte (for the first one, from the connection) to the end of its head;
    `body`: from then to the end of its body; `idle`: between requests; `write`: in which a client has to take
    `write_bytes`, or all that is left, of what waits for it; `beat`: of silence in an event stream.
    """

    head: float = 10.0
    body: float = 20.0
    idle: int = 5
    write: float = 10.0
    write_bytes: int = 64 * 1024
    body_bytes: int = 256 * 1024  # two prompts of 10,000 characters, each escaped in twelve bytes, and some
    discarded_bytes: int = 4 * 1024 * 1024  # of a body too large, read so that the client reads the reply
    connections: int = 500
    beat: float = 10.0
    leaving: int = 10  # after a drain, for replies that are being read


LIMITS = ClientLimits()


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """`token`: what clients have to send; `origins`: sites whose pages may ask; `deadline`: in seconds."""

    token: str | None = None
    origins: Sequence[str] = ()
    deadline: float | None = None
    limits: ClientLimits = LIMITS

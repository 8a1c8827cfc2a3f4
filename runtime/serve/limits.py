"""Limits on what a client may cost before anything is asked of the runtime, which itself says how many it
lets in.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Seconds and bytes; past any of them the connection is closed, with a reply where one can be sent.

    `head`: from a request's first byte (for the first one, from the connection) to the end of its head;
    `body`: from then to the end of its body; `idle`: between requests; `write`: in which a client has to take
    `write_bytes`, or all that is left, of what waits for it; `beat`: of silence in an event stream.

    `connections`: how many may be open, `per_address` of them from one address. Beyond these, `reserve`
    connections may ask for the state of health alone, and have `probe` seconds to do so.
    """

    head: float = 10.0
    body: float = 20.0
    # Longer than proxies keep an idle connection to a server (nginx 60 s, Traefik 90 s, Caddy 120 s), so that
    # the proxy closes it: a server that does may meet a request that is on its way.
    idle: int = 150
    write: float = 10.0
    write_bytes: int = 64 * 1024
    body_bytes: int = 256 * 1024  # two prompts of 10,000 characters, each escaped in twelve bytes, and some
    discarded_bytes: int = 64 * 1024 * 1024  # of a body too large, read so that the client reads the reply
    connections: int = 500
    per_address: int = 250
    reserve: int = (
        512  # several times what is taken at once: a probe among them has its turn before it gives way
    )
    probe: float = 1.0
    beat: float = 10.0
    leaving: int = 10  # after a drain, for replies that are being read


LIMITS = ClientLimits()


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """The operator's settings for clients.

    `token`: what clients have to send; `origins`: sites whose pages may ask; `hosts`: names that the server
    answers to, None for any; `models`: names of the model that routes. For requests that name none:
    `deadline`, in seconds, and `seed`, None for one at random.
    """

    token: str | None = None
    origins: Sequence[str] = ()
    hosts: Collection[str] | None = None
    models: Sequence[str] = ("aptp",)
    deadline: float | None = None
    seed: int | None = 0
    limits: ClientLimits = LIMITS

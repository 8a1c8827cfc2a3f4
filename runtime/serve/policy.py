"""The decisions of operators about clients: who may ask, and how long a request may take that does not
say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.serve.limits import LIMITS, ClientLimits


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """`token`: what clients have to send; `origins`: sites whose pages may ask; `deadline`: in seconds."""

    token: str | None = None
    origins: Sequence[str] = ()
    deadline: float | None = None
    limits: ClientLimits = LIMITS

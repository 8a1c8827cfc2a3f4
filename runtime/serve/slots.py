"""Places for connections: so many in all, so many for one address, and a few in reserve for probes."""

from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from runtime.serve.limits import ClientLimits

_SITE = 64  # bits of an IPv6 address that one customer of a network has to itself


class Holder(Protocol):
    """A connection, as `Slots` sees it."""

    def leave(self) -> None:
        """End the connection, which is idle or in reserve."""


class Slots:
    """The places of one server. Where there is none left, the connection that was idle longest gives way.

    A connection without a place is in reserve. Where the reserve is full, its oldest connection ends: a probe
    sends its request at once, and is not the one that waits.
    """

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._places: dict[Holder, str] = {}
        self._of_address: Counter[str] = Counter()
        self._idle: dict[Holder, None] = {}  # in order
        self._reserve: dict[Holder, None] = {}  # in order

    def take(self, holder: Holder, host: str) -> bool:
        """Give a new connection a place; False where it is in reserve."""
        address = _address(host)
        is_crowded = self._of_address[address] >= self._limits.per_address
        if is_crowded or len(self._places) >= self._limits.connections:
            idle = (each for each in self._idle if not is_crowded or self._places[each] == address)
            if not self._ended(next(idle, None)):
                if len(self._reserve) >= self._limits.reserve:
                    self._ended(next(iter(self._reserve), None))
                self._reserve[holder] = None
                return False
        self._places[holder] = address
        self._of_address[address] += 1
        return True

    def rest(self, holder: Holder) -> None:
        """Note that a connection waits for its next request."""
        if holder in self._places:
            self._idle[holder] = None

    def work(self, holder: Holder) -> None:
        """Note that a connection waits no longer."""
        self._idle.pop(holder, None)

    def free(self, holder: Holder) -> None:
        """Take back the place of a connection that has ended. It may be free already."""
        self._idle.pop(holder, None)
        self._reserve.pop(holder, None)
        address = self._places.pop(holder, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _ended(self, holder: Holder | None) -> bool:
        if holder is None:
            return False
        self.free(holder)
        holder.leave()
        return True


def _address(host: str) -> str:
    """Return what counts as one address: a network of 64 bits for IPv6, where addresses cost nothing."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> (128 - _SITE) << (128 - _SITE)))
    return str(address)

"""The scheduler decides what is done next: which request is prepared, which engine is opened, who shares the
next call.

A machine of states without threads, clocks or engines: callers say what time it is, and what became of the
work they were given. At any moment one request is prepared, one engine opened and one call made, at most.

Requests are served by rank, in groups that share a call: the group of the oldest request goes on until that
is done, so that engines change seldom. A fuller group may go before an older one, but waiting is bounded:
between two calls a group is passed over for younger ones at most `patience` times, and once more for every
other engine in memory. An engine that is not there comes in the order of those who need it, each after the
turn of one that has to go.
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple

from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.queue import Queue
from runtime.scheduling.request_stats import RequestStats
from runtime.scheduling.ticket import Key, T, Ticket, TicketEnd, TicketState


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """`running` requests share calls and `queued` ones wait (None: any number).

    `patience`: how often a group that could be fuller is passed over for younger ones. `advantage`: seconds
    that a step of priority is worth.
    """

    running: int
    queued: int | None
    patience: int = 4
    advantage: float = 10.0


class EngineOpening(NamedTuple):
    """An engine to be opened; `victims` are to be let go first."""

    key: Key
    victims: Sequence[Key]


class CallGroup(NamedTuple, Generic[T]):
    """Requests that share the next call on an engine."""

    key: Key
    tickets: Sequence[Ticket[T]]


class Scheduler(Generic[T]):
    """Decides for requests of one machine. `capacity` says how many may share a call on an engine."""

    def __init__(self, limits: QueueLimits, memory: MemoryBudget, capacity: Callable[[Key], int]) -> None:
        self.limits, self.memory, self.counts = limits, memory, RequestStats()
        self.queue: Queue[T] = Queue(limits.queued, limits.advantage)
        self._capacity = capacity
        self._running: list[Ticket[T]] = []  # by rank
        self._preparing: Ticket[T] | None = None
        self._group: CallGroup[T] | None = None
        self._leaving: frozenset[Key] = frozenset()
        self._settled = False  # every engine that is needed, or will be, is known to be in memory
        self._skipped: dict[Key, int] = {}  # how often an engine's group was passed over for a younger one

    def __len__(self) -> int:
        """Count the requests that have not ended."""
        return len(self.queue) + len(self._running)

    @property
    def running(self) -> int:
        """Requests that have started and not ended."""
        return len(self._running)

    def admit(self, task: T, *, priority: int = 0, deadline: float | None = None, now: float) -> Ticket[T]:
        """Let a task in. Raises `QueueFull`."""
        try:
            self.queue.check_room(self.limits.running - self.running, self.counts.pace)
        except Exception:
            self.counts.rejected += 1
            raise
        self.counts.admitted += 1
        return self.queue.add(task, priority, deadline, now)

    def cancel(self, ticket: Ticket[T]) -> bool:
        """End a request that its owner takes back; False where it has ended already."""
        return self._end(ticket, TicketEnd.CANCELLED)

    def fail(self, ticket: Ticket[T]) -> bool:
        """End a request whose own work went wrong between two calls; False where it has ended already."""
        return self._end(ticket, TicketEnd.FAILED)

    def expire(self, now: float) -> list[Ticket[T]]:
        """End the requests whose deadline has come; gives them."""
        late = [ticket for ticket in self.tickets() if ticket.deadline is not None and ticket.deadline <= now]
        return [ticket for ticket in late if self._end(ticket, TicketEnd.EXPIRED)]

    @property
    def next_deadline(self) -> float | None:
        """When `expire` will have something to do."""
        return min(
            (ticket.deadline for ticket in self.tickets() if ticket.deadline is not None), default=None
        )

    def tickets(self) -> list[Ticket[T]]:
        """Return all requests that have not ended."""
        return [*self.queue.tickets(), *self._running]

    def next_preparation(self) -> Ticket[T] | None:
        """Return the request to be prepared now, if there is one and room to run it."""
        if self._preparing is not None or self.running >= self.limits.running:
            return None
        ticket = self.queue.pop()
        if ticket is not None:
            ticket.state, self._preparing = TicketState.PREPARING, ticket
            insort(self._running, ticket, key=lambda each: each.rank)
        return ticket

    def prepared(self, ticket: Ticket[T], *, failed: bool = False) -> bool:
        """Note that a request is prepared, or cannot be; False where it has ended meanwhile."""
        assert ticket is self._preparing
        self._preparing = None
        if ticket.state is TicketState.ENDED:
            return False
        if failed:
            return self._end(ticket, TicketEnd.FAILED)
        ticket.state, self._settled = TicketState.RUNNING, False
        return True

    def next_opening(self) -> EngineOpening | None:
        """Return the engine to be opened now: the first that is needed, or will be, and can be given room."""
        self._leaving = frozenset()
        if self._settled or self.memory.opening is not None:
            return None
        needs = dict.fromkeys(ticket.task.need for ticket in self._ready())
        for key in needs:
            if key not in self.memory:
                return self._open(key, needs, ahead=False)
        coming = dict.fromkeys(key for ticket in self._ready() if (key := ticket.task.upcoming) is not None)
        for key in coming:
            if key not in self.memory:
                return self._open(key, {**needs, **coming}, ahead=True)
        self._settled = True
        return None

    def opened(self, key: Key, seconds: float) -> None:
        """Note that an engine is there, and how long that took."""
        self.memory.opened(key, seconds)

    def not_opened(self, key: Key) -> list[Ticket[T]]:
        """Note that an engine cannot be opened: whoever needs it now ends; gives them."""
        self.memory.failed(key)
        return [t for t in self._ready() if t.task.need == key and self._end(t, TicketEnd.FAILED)]

    def evict(self, unwanted: Callable[[Key], bool]) -> list[Key]:
        """Give up engines that are not in use; gives their keys."""
        busy = self._group.key if self._group else None
        keys = [key for key in self.memory if key != busy and unwanted(key)]
        for key in keys:
            self.memory.evict(key)
            self._skipped.pop(key, None)
        self._settled = False
        return keys

    def next_call(self) -> CallGroup[T] | None:
        """Return the tickets that take part in the call to be made now."""
        if self._group is not None:
            return None
        heads = self._heads()
        if heads:
            key = self._choose(heads)
            self._group = CallGroup(key, heads[key])
            served = heads[key][0].rank
            self._skipped = {
                other: self._skipped.get(other, 0) + (head[0].rank < served)
                for other, head in heads.items()
                if other != key
            }
        return self._group

    def called(self, seconds: float, now: float, *, failed: bool = False) -> list[Ticket[T]]:
        """Note that the call was made, or failed; gives the requests that ended with it."""
        assert self._group is not None
        key, tickets = self._group
        self._group = None
        self.memory.ran(key, seconds)
        end = TicketEnd.FAILED if failed else TicketEnd.FINISHED
        ended = [ticket for ticket in tickets if (failed or ticket.task.ended) and self._end(ticket, end)]
        # Whoever has ended needs nothing; whoever goes on to another engine might need one that is not there.
        self._settled &= all(ticket.end or ticket.task.need == key for ticket in tickets)
        if ended and not failed:
            self.counts.noted_finish(now, len(ended), more=len(self) > 0)
        return ended

    def _ready(self) -> list[Ticket[T]]:
        return [ticket for ticket in self._running if ticket.state is TicketState.RUNNING]

    def _heads(self) -> dict[Key, list[Ticket[T]]]:
        """Return the first who need each engine in memory: as many as share a call."""
        heads: dict[Key, list[Ticket[T]]] = {}
        for ticket in self._running:
            if ticket.state is TicketState.RUNNING:
                key = ticket.task.need
                if key in self.memory and key not in self._leaving:
                    group = heads.setdefault(key, [])
                    if len(group) < self._capacity(key):
                        group.append(ticket)
        return heads

    def _choose(self, heads: dict[Key, list[Ticket[T]]]) -> Key:
        """Choose the fullest group, of those the oldest; but first whoever was passed over too often."""
        late = [key for key in heads if self._skipped.get(key, 0) >= self.limits.patience]
        if late:
            return min(late, key=lambda key: heads[key][0].rank)
        return min(heads, key=lambda key: (-len(heads[key]) / self._capacity(key), heads[key][0].rank))

    def _open(self, key: Key, needs: dict[Key, None], *, ahead: bool) -> EngineOpening | None:
        victims = self.memory.victims(key, needs, ahead=ahead)
        if victims is None:
            return None
        if self._group is not None and self._group.key in victims:
            self._leaving = frozenset(victims)  # no more calls on them: the running one is their last
            return None
        for victim in victims:
            self.memory.evict(victim)
        self.memory.start(key)
        return EngineOpening(key, victims)

    def _end(self, ticket: Ticket[T], end: TicketEnd) -> bool:
        if ticket.state is TicketState.ENDED:
            return False
        if ticket.state is TicketState.QUEUED:
            self.queue.leave(ticket)
        else:
            self._running.remove(ticket)
        ticket.state, ticket.end = TicketState.ENDED, end
        self.counts.add(end)
        return True

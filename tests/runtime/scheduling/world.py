"""A world for the scheduler in which the test owns time: tasks that are lists of engines, costs, failures."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import QueueFull
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import CallGroup, EngineOpening, QueueLimits, Scheduler
from runtime.scheduling.ticket import Key, Ticket, TicketState


@dataclass(eq=False)
class Errand:
    """A task that needs one engine after another; `done` are the calls made for it."""

    engines: str
    prepares: bool = True
    done: str = ""
    ends: list[str] = field(default_factory=list)

    @property
    def need(self) -> str:
        return self.engines[len(self.done)]

    @property
    def upcoming(self) -> str | None:
        rest = self.engines[len(self.done) :]
        return next((engine for engine in rest if engine != rest[0]), None)

    @property
    def ended(self) -> bool:
        return len(self.done) == len(self.engines)


@dataclass
class World:
    """Lanes that each take their time. `fails(what, key, number)` says which of their works go wrong."""

    limits: QueueLimits
    budget: int = 1000
    batch: int = 3
    cost: int = 10
    opening: float = 5.0
    call: float = 1.0
    fails: Callable[[str, Any, int], bool] = lambda what, key, number: False

    def __post_init__(self) -> None:
        memory = MemoryBudget(self.budget, lambda key: self.cost)
        self.scheduler: Scheduler[Errand] = Scheduler(self.limits, memory, lambda key: self.batch)
        self.now, self._events, self._number = 0.0, list[Any](), 0
        self.calls: list[tuple[float, Key, tuple[Errand, ...]]] = []
        self.rejected = 0

    def admit(self, errand: Errand, priority: int = 0, seconds: float | None = None) -> Ticket[Errand] | None:
        deadline = None if seconds is None else self.now + seconds
        try:
            ticket = self.scheduler.admit(errand, priority=priority, deadline=deadline, now=self.now)
        except QueueFull:
            self.rejected += 1
            return None
        self.dispatch()
        return ticket

    def at(self, when: float, what: Callable[[], Any]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, what))

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until nothing is to be done, or until a moment."""
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
            self.note(self.scheduler.expire(self.now), "expired")
            self.check()
            self.dispatch()

    def dispatch(self) -> None:
        if ticket := self.scheduler.next_preparation():
            self.at(self.now + 0.25, lambda: self.prepared(ticket))
        if opening := self.scheduler.next_opening():
            self.at(self.now + self.opening, lambda: self.opened(opening))
        if group := self.scheduler.next_call():
            self.calls.append((self.now, group.key, tuple(ticket.task for ticket in group.tickets)))
            assert group.key in self.scheduler.memory, "a call needs its engine in memory"
            assert 1 <= len(group.tickets) <= self.batch
            assert all(t.task.need == group.key and t.state is TicketState.RUNNING for t in group.tickets)
            self.at(self.now + self.call, lambda: self.called(group))

    def prepared(self, ticket: Ticket[Errand]) -> None:
        failed = not ticket.task.prepares
        if self.scheduler.prepared(ticket, failed=failed) and failed:
            self.note([ticket], "failed")

    def opened(self, opening: EngineOpening) -> None:
        if self.fails("open", opening.key, len(self.calls)):
            self.note(self.scheduler.not_opened(opening.key), "failed")
        else:
            self.scheduler.opened(opening.key, self.opening)

    def called(self, group: CallGroup[Errand]) -> None:
        assert group.key in self.scheduler.memory, "a busy engine is never given up"
        failed = self.fails("call", group.key, len(self.calls))
        if not failed:
            for ticket in group.tickets:
                ticket.task.done += str(group.key)
        ended = self.scheduler.called(self.call, self.now, failed=failed)
        self.note(ended, "failed" if failed else "finished")

    def cancel(self, ticket: Ticket[Errand]) -> None:
        if self.scheduler.cancel(ticket):
            self.note([ticket], "cancelled")
        self.dispatch()

    def note(self, tickets: list[Ticket[Errand]], end: str) -> None:
        for ticket in tickets:
            assert ticket.end is not None
            assert ticket.end.value == end
            ticket.task.ends.append(end)

    def check(self) -> None:
        """Check what holds at every moment."""
        scheduler, counts = self.scheduler, self.scheduler.counts
        assert scheduler.memory.used <= scheduler.memory.budget
        assert scheduler.running <= self.limits.running
        assert self.limits.queued is None or len(scheduler) <= self.limits.running + self.limits.queued
        ended = counts.finished + counts.failed + counts.cancelled + counts.expired
        assert counts.admitted == ended + len(scheduler)
        assert counts.rejected == self.rejected

"""The queue decides who is let in, and who of those waiting goes first."""

import heapq
import math
from typing import Generic

from runtime.errors import QueueFull
from runtime.scheduling.ticket import T, Ticket, TicketState


class Queue(Generic[T]):
    """Requests that have not started, at most `most` (None: as many as come).

    A request of priority p goes as if it had come p times `advantage` seconds earlier: nobody waits forever.
    """

    def __init__(self, most: int | None, advantage: float) -> None:
        self.most, self._advantage = most, advantage
        self._heap: list[tuple[tuple[float, int], Ticket[T]]] = []
        self._waiting = self._numbered = 0

    def __len__(self) -> int:
        return self._waiting

    def check_room(self, free: int, retry_after: float) -> None:
        """Refuse where nothing is free, neither here nor of the `free` places to run. Raises `QueueFull`."""
        if self.most is not None and len(self) >= self.most + free:
            raise QueueFull(
                f"{len(self)} requests are waiting, and no more are let in; try again in "
                f"{math.ceil(retry_after)} s, or raise max_queued",
                retry_after,
            )

    def add(self, task: T, priority: int, deadline: float | None, now: float) -> Ticket[T]:
        """Return a ticket for a task that is let in."""
        self._numbered += 1
        ticket = Ticket(task, (now - priority * self._advantage, self._numbered), deadline)
        heapq.heappush(self._heap, (ticket.rank, ticket))
        self._waiting += 1
        return ticket

    def pop(self) -> Ticket[T] | None:
        """Return the next one to start, which leaves the queue."""
        while self._heap:
            _, ticket = heapq.heappop(self._heap)
            if ticket.state is TicketState.QUEUED:
                self._waiting -= 1
                return ticket
        return None

    def leave(self, ticket: Ticket[T]) -> None:
        """Count one out that was cancelled or has expired; its place in line is cleared when it is due."""
        assert ticket.state is TicketState.QUEUED
        self._waiting -= 1
        if len(self._heap) > 2 * self._waiting + 16:  # those gone do not pile up
            self._heap = [
                entry
                for entry in self._heap
                if entry[1].state is TicketState.QUEUED and entry[1] is not ticket
            ]
            heapq.heapify(self._heap)

    def tickets(self) -> list[Ticket[T]]:
        """All that wait, in no order."""
        return [ticket for _, ticket in self._heap if ticket.state is TicketState.QUEUED]

"""A scheduler whose every decision is asked of the one in C++ too, and compared."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.errors import QueueFull
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import CallGroup, EngineOpening, QueueLimits, Scheduler
from runtime.scheduling.ticket import Key, Ticket
from tests.runtime.scheduling.world import Errand


class Peer:
    """The program that decides in C++: a line of JSON in, a line out."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate(timeout=10)
        assert self._process.returncode == 0


class Mirror(Scheduler[Errand]):
    """Decides as `Scheduler` does. `compared` counts the decisions that C++ made alike."""

    def __init__(
        self, peer: Peer, limits: QueueLimits, budget: int, cost: dict[str, int], batch: dict[str, int]
    ) -> None:
        super().__init__(
            limits, MemoryBudget(budget, lambda key: cost[str(key)]), lambda key: batch[str(key)]
        )
        self._peer, self.compared = peer, 0
        self._numbers: dict[Ticket[Errand], int] = {}
        peer.ask(
            do="world",
            running=limits.running,
            queued=limits.queued,
            patience=limits.patience,
            advantage=limits.advantage,
            budget=budget,
            cost=cost,
            batch=batch,
        )

    def _state(self) -> dict[str, Any]:
        counts = self.counts
        return {
            "queued": len(self.queue),
            "running": [self._numbers[ticket] for ticket in self._running],
            "memory": list(self.memory),
            "opening": self.memory.opening,
            "used": self.memory.used,
            "deadline": self.next_deadline,
            "counts": [
                counts.admitted,
                counts.rejected,
                counts.finished,
                counts.failed,
                counts.cancelled,
                counts.expired,
            ],
            "pace": counts.pace,
        }

    def _compare(self, mine: Any, what: str, **arguments: Any) -> None:
        theirs = self._peer.ask(do=what, **arguments)
        assert theirs == {"answer": mine, "state": self._state()}, f"{what} {arguments}"
        self.compared += 1

    def admit(
        self, task: Errand, *, priority: int = 0, deadline: float | None = None, now: float
    ) -> Ticket[Errand]:
        asked = {"engines": task.engines, "priority": priority, "deadline": deadline, "now": now}
        try:
            ticket = super().admit(task, priority=priority, deadline=deadline, now=now)
        except QueueFull as full:
            self._compare({"full": str(full), "retry_after": full.retry_after}, "admit", **asked)
            raise
        self._numbers[ticket] = len(self._numbers)
        self._compare(self._numbers[ticket], "admit", **asked)
        return ticket

    def cancel(self, ticket: Ticket[Errand]) -> bool:
        done = super().cancel(ticket)
        self._compare(done, "cancel", ticket=self._numbers[ticket])
        return done

    def expire(self, now: float) -> list[Ticket[Errand]]:
        expired = super().expire(now)
        self._compare(sorted(self._numbers[ticket] for ticket in expired), "expire", now=now)
        return expired

    def next_preparation(self) -> Ticket[Errand] | None:
        ticket = super().next_preparation()
        self._compare(None if ticket is None else self._numbers[ticket], "next_preparation")
        return ticket

    def prepared(self, ticket: Ticket[Errand], *, failed: bool = False) -> bool:
        alive = super().prepared(ticket, failed=failed)
        self._compare(alive, "prepared", ticket=self._numbers[ticket], failed=failed)
        return alive

    def next_opening(self) -> EngineOpening | None:
        opening = super().next_opening()
        mine = None if opening is None else {"key": opening.key, "victims": list(opening.victims)}
        self._compare(mine, "next_opening")
        return opening

    def opened(self, key: Key, seconds: float) -> None:
        super().opened(key, seconds)
        self._compare(None, "opened", key=key, seconds=seconds)

    def not_opened(self, key: Key) -> list[Ticket[Errand]]:
        ended = super().not_opened(key)
        self._compare([self._numbers[ticket] for ticket in ended], "not_opened", key=key)
        return ended

    def evict(self, unwanted: Callable[[Key], bool]) -> list[Key]:
        keys = "".join(key for key in "abcdz" if unwanted(key))
        gone = super().evict(unwanted)
        self._compare(gone, "evict", keys=keys)
        return gone

    def next_call(self) -> CallGroup[Errand] | None:
        group = super().next_call()
        mine = group and {"key": group.key, "tickets": [self._numbers[ticket] for ticket in group.tickets]}
        self._compare(mine, "next_call")
        return group

    def called(self, seconds: float, now: float, *, failed: bool = False) -> list[Ticket[Errand]]:
        ended = super().called(seconds, now, failed=failed)
        mine = [self._numbers[ticket] for ticket in ended]
        self._compare(mine, "called", seconds=seconds, now=now, failed=failed)
        return ended

"""The scheduler on threads: one prepares, one opens engines, one calls them, and one watches the time.

Any thread may submit and cancel. Every request that was let in is told how it ended exactly once, by the
thread that ended it, and outside the lock. Of one just cancelled, more may be told after that.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic

from runtime.errors import Cancelled, Closed, DeadlineExceeded, EngineFailure, RuntimeFailure
from runtime.scheduling.scheduler import CallGroup, EngineOpening, Scheduler
from runtime.scheduling.ticket import Key, Ticket, TicketEnd
from runtime.service.work import Handler, W
from runtime.service.worker_thread import WorkerThread

log = logging.getLogger("runtime")

Clock = Callable[[], float]


class Dispatcher(Generic[W]):
    """Runs what a scheduler decides. `handler` does the work; `clock` gives seconds that never jump."""

    def __init__(self, scheduler: Scheduler[W], handler: Handler[W], clock: Clock = time.monotonic) -> None:
        self._scheduler, self._handler, self._clock = scheduler, handler, clock
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._engines: dict[Key, Any] = {}
        self._retired: list[Callable[[Key], bool]] = []
        self.closing = self._stopped = False
        self._preparing: WorkerThread[Ticket[W]] = WorkerThread("prepare", self._prepare)
        self._opening: WorkerThread[EngineOpening] = WorkerThread("open", self._open)
        self._calling: WorkerThread[CallGroup[W]] = WorkerThread("call", self._call)
        self._watch = threading.Thread(target=self._watch_deadlines, name="aptp-watch", daemon=True)
        self._started = False

    def submit(self, work: W, *, priority: int = 0, seconds: float | None = None) -> Ticket[W]:
        """Let work in, to be done within `seconds`. Raises `QueueFull`, `Closed`."""
        with self._lock:
            if self.closing:
                raise Closed("the runtime is closing and takes no more requests")
            now = self._clock()
            deadline = None if seconds is None else now + seconds
            ticket = self._scheduler.admit(work, priority=priority, deadline=deadline, now=now)
            if not self._started:
                self._start()
            if deadline is not None:
                self._changed.notify_all()
            # The one thing told under the lock: nothing else of this request may come before it.
            work.tell(work.queued(len(self._scheduler.queue) - 1))
            self._dispatch()
        return ticket

    def cancel(self, ticket: Ticket[W]) -> None:
        """Take a request back. Nothing happens where it has ended already."""
        with self._lock:
            ended = self._scheduler.cancel(ticket)
            if ended:
                ticket.task.failure = Cancelled("the request was cancelled")
                self._dispatch()
        if ended:
            self._tell([ticket])

    def drain(self, seconds: float | None = None) -> bool:
        """Let nothing more in, and wait until all is done; after `seconds`, end what is left: then False."""
        with self._lock:
            self.closing = True
            done = self._changed.wait_for(lambda: not len(self._scheduler), seconds)
            left = self._scheduler.tickets()
            for ticket in left:
                ticket.task.failure = Closed("the runtime was closed before the image was done")
                self._scheduler.cancel(ticket)
        self._tell(left)
        return done

    def close(self) -> None:
        """End what is left and let go of the engines; a call under way is waited for."""
        self.drain(0)
        with self._lock:
            running, self._stopped, self._started = self._started, True, False
            self._changed.notify_all()
        if running:
            for lane in (self._preparing, self._opening, self._calling):
                lane.stop()
            self._watch.join()
            atexit.unregister(self.close)
        self.evict(lambda key: True)

    def evict(self, unwanted: Callable[[Key], bool]) -> None:
        """Let go of engines that are not in use. They open again when they are needed."""
        with self._lock:
            # Taken out with the lock held: an engine of the same key may be opened as soon as it is free.
            engines = [(key, self._engines.pop(key)) for key in self._scheduler.evict(unwanted)]
        for key, engine in engines:
            self._handler.close(key, engine)

    def retire(self, unwanted: Callable[[Key], bool]) -> None:
        """Let go of engines that nobody will need again; of one in use, or being opened, after that."""
        with self._lock:
            self._retired.append(unwanted)
        self._let_go_of_retired()

    def look(self, read: Callable[[Scheduler[W]], Any]) -> Any:
        """Return what `read` finds at one moment."""
        with self._lock:
            return read(self._scheduler)

    def _start(self) -> None:
        self._started = True
        # The process must not end under a running call: an engine that is torn down then crashes it.
        atexit.register(self.close)
        for lane in (self._preparing, self._opening, self._calling):
            lane.start()
        self._watch.start()

    def _dispatch(self) -> None:
        """Hand out whatever is to be done now. Called with the lock held, after every change."""
        if self._stopped:
            return
        if ticket := self._scheduler.next_preparation():
            self._preparing.give(ticket)
        if opening := self._scheduler.next_opening():
            self._opening.give(opening)
        if group := self._scheduler.next_call():
            self._calling.give(group)
        if not len(self._scheduler):
            self._changed.notify_all()

    def _prepare(self, ticket: Ticket[W]) -> None:
        with self._caught("preparing") as caught:
            self._handler.prepare(ticket.task)
        if not caught:  # told now, for its first call may be made as soon as it counts as prepared
            ticket.task.tell(ticket.task.started())
        with self._lock:
            alive = self._scheduler.prepared(ticket, failed=bool(caught))
            if alive and caught:
                ticket.task.failure = caught[0]
            self._dispatch()
        if alive and caught:
            self._tell([ticket])

    def _open(self, opening: EngineOpening) -> None:
        for victim in opening.victims:
            self._let_go(victim)
        start, engine = self._clock(), None
        with self._caught("opening") as caught:
            engine = self._handler.open(opening.key)
        failed: list[Ticket[W]] = []
        with self._lock:
            if caught:
                failed = self._scheduler.not_opened(opening.key)
                for ticket in failed:
                    ticket.task.failure = caught[0]
            else:
                self._engines[opening.key] = engine
                self._scheduler.opened(opening.key, self._clock() - start)
            self._dispatch()
        self._tell(failed)
        self._let_go_of_retired()

    def _call(self, group: CallGroup[W]) -> None:
        start = self._clock()
        with self._caught("running") as caught:
            self._handler.call(group.key, self._engines[group.key], [t.task for t in group.tickets])
        now = self._clock()
        with self._lock:
            ended = self._scheduler.called(now - start, now, failed=bool(caught))
            if caught:
                for ticket in ended:
                    ticket.task.failure = caught[0]
            self._dispatch()
        # This thread makes the next call too, so steps are told in order.
        for ticket in group.tickets:
            if ticket.end is None and (event := ticket.task.progress()):
                ticket.task.tell(event)
        self._tell(ended)
        self._let_go_of_retired()

    def _watch_deadlines(self) -> None:
        while True:
            with self._lock:
                if self._stopped:
                    return
                expired = self._scheduler.expire(self._clock())
                for ticket in expired:
                    ticket.task.failure = DeadlineExceeded("the deadline passed before the image was done")
                if expired:
                    self._dispatch()
                elif (deadline := self._scheduler.next_deadline) is None:
                    self._changed.wait()
                else:
                    self._changed.wait(max(0.0, deadline - self._clock()))
            self._tell(expired)

    def _let_go_of_retired(self) -> None:
        for unwanted in list(self._retired):
            self.evict(unwanted)
            with self._lock:
                if unwanted in self._retired and not self._scheduler.memory.holds(unwanted):
                    self._retired.remove(unwanted)

    def _let_go(self, key: Key) -> None:
        engine = self._engines.pop(key, None)
        if engine is not None:
            self._handler.close(key, engine)

    def _tell(self, tickets: Iterable[Ticket[W]]) -> None:
        for ticket in tickets:
            task = ticket.task
            if ticket.end is TicketEnd.FINISHED:
                task.tell(task.finished())
            else:
                assert task.failure is not None
                task.tell(task.failure)

    @contextmanager
    def _caught(self, doing: str) -> Iterator[list[RuntimeFailure]]:
        """Keep a thread alive through whatever its work raises; what that was is in the list."""
        caught: list[RuntimeFailure] = []
        try:
            yield caught
        except RuntimeFailure as failure:
            log.warning("%s failed: %s", doing, failure)
            caught.append(failure)
        except Exception as error:  # one request's trouble must not end all others
            log.exception("%s failed unforeseen", doing)
            caught.append(EngineFailure(f"{doing} failed unforeseen: {type(error).__name__}: {error}"))
            caught[0].__cause__ = error

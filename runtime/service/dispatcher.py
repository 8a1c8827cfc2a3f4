"""The scheduler on threads: one prepares, one opens engines, one calls them, and one watches the time.

Any thread may submit and cancel. Every request that was let in is told how it ended exactly once, by the
thread that ended it, and outside the lock. Of one just cancelled, more may be told after that.

The threads run from the start until `close`, and hold the dispatcher for as long. One that dies, or is stuck,
takes nobody with it: whoever is in is told why at once (`Unavailable`), and nobody is let in meanwhile.
"""

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic

from runtime.errors import Cancelled, Closed, DeadlineExceeded, EngineFailure, RuntimeFailure, Unavailable
from runtime.machine.fork import Home
from runtime.machine.threads import clamped
from runtime.scheduling.scheduler import CallGroup, EngineOpening, Scheduler
from runtime.scheduling.ticket import Key, Ticket, TicketEnd
from runtime.service.supervisor import Supervisor
from runtime.service.work import Handler, W
from runtime.service.worker_thread import SupervisedThread, WorkerThread

log = logging.getLogger("runtime")

Clock = Callable[[], float]
Job = Callable[[], None]

PULSE = 5.0  # seconds between two looks at the threads


class Dispatcher(Generic[W]):
    """Runs what a scheduler decides. `handler` does the work; `clock` gives seconds that never jump."""

    def __init__(self, scheduler: Scheduler[W], handler: Handler[W], clock: Clock = time.monotonic) -> None:
        self._scheduler, self._handler, self._clock = scheduler, handler, clock
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._engines: dict[Key, Any] = {}
        self._retired: list[Callable[[Key], bool]] = []
        self.closing = self._stopped = False
        self._closed = threading.Event()
        self.home = Home()
        self._supervisor = Supervisor(self._fail_all)
        died = self._supervisor.died
        self._preparing, self._opening, self._calling = (
            WorkerThread[Job](name, _do, died, clock) for name in ("prepare", "open", "call")
        )
        self._watch = SupervisedThread("watch", self._watch_over, died)
        # The process must not end under a running call: an engine that is torn down then crashes it.
        self._at_exit = partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)
        self._supervisor.start((*self._lanes, self._watch), self.close)

    @property
    def trouble(self) -> str | None:
        """Why nobody can be served now, or None."""
        return self._supervisor.trouble

    def submit(self, work: W, *, priority: int = 0, seconds: float | None = None) -> Ticket[W]:
        """Let work in, to be done in `seconds`. Raises `QueueFull`, `Closed`, `Unavailable`, `Forked`."""
        self.home.check()
        with self._lock:
            if self.closing:
                raise Closed("the runtime is closing and takes no more requests")
            if trouble := self.trouble:
                raise Unavailable(trouble)
            now = self._clock()
            deadline = None if seconds is None else now + seconds
            ticket = self._scheduler.admit(work, priority=priority, deadline=deadline, now=now)
            if deadline is not None:
                self._changed.notify_all()
            try:  # the one thing told under the lock: nothing else of this request may come before it
                work.tell(work.queued(len(self._scheduler.queue) - 1))
            except BaseException:
                self._scheduler.cancel(ticket)
                raise
            self._dispatch()
        return ticket

    def cancel(self, ticket: Ticket[W]) -> None:
        """Take a request back. Nothing happens where it has ended already."""
        if self.home.is_left:
            return
        with self._lock:
            ended = self._scheduler.cancel(ticket)
            if ended:
                ticket.task.failure = Cancelled("the request was cancelled")
                self._dispatch()
        if ended:
            self._tell([ticket])

    def forsake(self, ticket: Ticket[W]) -> None:
        """Take a request back while Python collects garbage: without a lock, for that may be held there."""
        self._preparing.give(partial(self.cancel, ticket))

    def abandon(self) -> None:
        """Close, likewise, and do not wait for that."""
        self._preparing.give(self.close)

    def drain(self, seconds: float | None = None) -> bool:
        """Let nothing more in, and wait until all is done; after `seconds`, end what is left: then False.

        Raises `Forked`.
        """
        self.home.check()
        with self._lock:
            self.closing = True
            done = self._changed.wait_for(lambda: not len(self._scheduler), clamped(seconds))
        self._end_all(Closed("the runtime was closed before the image was done"))
        return done

    def close(self) -> None:
        """End what is left and let go of the engines; a call under way is waited for, unless it is stuck.

        In a child that was forked since the opening, nothing happens.
        """
        if self.home.is_left:
            return
        self.drain(0)
        with self._lock:
            first, self._stopped = not self._stopped, True
            self._changed.notify_all()
        if first:
            for lane in self._lanes:
                lane.stop()
            self._watch.join()
            self.evict(lambda key: True)
            atexit.unregister(self._at_exit)
            self._closed.set()
        elif not any(lane.is_current for lane in self._lanes):
            self._closed.wait()

    def evict(self, unwanted: Callable[[Key], bool]) -> None:
        """Let go of engines that are not in use. They open again when they are needed. Raises `Forked`."""
        self.home.check()
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
        """Return what `read` finds at one moment. Raises `Forked`."""
        self.home.check()
        with self._lock:
            return read(self._scheduler)

    @property
    def _lanes(self) -> tuple[WorkerThread[Job], ...]:
        return self._preparing, self._opening, self._calling

    def _dispatch(self) -> None:
        """Hand out whatever is to be done now. Called with the lock held, after every change."""
        if self._stopped:
            return
        if ticket := self._scheduler.next_preparation():
            self._preparing.give(partial(self._prepare, ticket))
        if opening := self._scheduler.next_opening():
            self._opening.give(partial(self._open, opening))
        if group := self._scheduler.next_call():
            self._calling.give(partial(self._call, group))
        if not len(self._scheduler):
            self._changed.notify_all()

    def _prepare(self, ticket: Ticket[W]) -> None:
        with self._caught("preparing") as caught:
            self._handler.prepare(ticket.task)
            # Told now, for its first call may be made as soon as it counts as prepared.
            ticket.task.tell(ticket.task.started())
        with self._lock:
            alive = self._scheduler.prepared(ticket, failed=bool(caught))
            if alive and caught:
                ticket.task.failure = caught[0]
            self._dispatch()
        if alive and caught:
            self._tell([ticket])

    def _open(self, opening: EngineOpening) -> None:
        start, engine = self._clock(), None
        with self._caught("opening") as caught:
            for victim in opening.victims:
                self._let_go(victim)
            start = self._clock()
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
            if ticket.end is None:
                self._tell_progress(ticket)
        self._tell(ended)
        self._let_go_of_retired()

    def _watch_over(self) -> None:
        """Keep deadlines, and look after the threads: of work that is stuck, and of who waits for it."""
        while True:
            with self._lock:
                if self._stopped:
                    return
                expired = self._scheduler.expire(self._clock())
                for ticket in expired:
                    ticket.task.failure = DeadlineExceeded("the deadline passed before the image was done")
                if expired:
                    self._dispatch()
                else:
                    self._changed.wait(self._until_next_look())
            self._tell(expired)
            if len(self._scheduler) and (trouble := self.trouble):
                log.critical("%s", trouble)
                self._fail_all()

    def _until_next_look(self) -> float:
        deadline = self._scheduler.next_deadline
        return PULSE if deadline is None else clamped(min(PULSE, deadline - self._clock()))

    def _fail_all(self) -> None:
        self._end_all(Unavailable(self.trouble or "the runtime cannot serve"))

    def _end_all(self, failure: RuntimeFailure) -> None:
        """End what is in, whether it waits or runs."""
        with self._lock:
            left = self._scheduler.tickets()
            end = self._scheduler.cancel if isinstance(failure, Closed) else self._scheduler.fail
            for ticket in left:
                ticket.task.failure = failure
                end(ticket)
            self._changed.notify_all()
        self._tell(left)

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
            with self._caught("telling an end") as caught:
                if ticket.end is TicketEnd.FINISHED:
                    task.tell(task.finished())
                else:
                    assert task.failure is not None
                    task.tell(task.failure)
            if caught:  # its listener waits for an end, whatever it is
                with self._caught("telling a failure"):
                    task.tell(caught[0])

    def _tell_progress(self, ticket: Ticket[W]) -> None:
        with self._caught("telling a step") as caught:
            if event := ticket.task.progress():
                ticket.task.tell(event)
        if caught:
            with self._lock:
                ended = self._scheduler.fail(ticket)
                if ended:
                    ticket.task.failure = caught[0]
                    self._dispatch()
            if ended:
                self._tell([ticket])

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


def _do(job: Job) -> None:
    job()


def _close(found: "weakref.ref[Dispatcher[Any]]") -> None:
    if dispatcher := found():
        dispatcher.close()

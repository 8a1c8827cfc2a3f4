"""A bundle behind a dispatcher: takes requests, tells how it is doing, goes on to another version of it."""

import queue
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from runtime.cli.values import check_limit
from runtime.errors import RuntimeFailure
from runtime.models.models import Models
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams, code_of
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.scheduling.ticket import Key, Ticket
from runtime.service.dispatcher import Dispatcher
from runtime.service.events import Event, Finished
from runtime.service.executor import Executor
from runtime.service.health import Health
from runtime.service.request import EngineKey, Listener, Request
from runtime.service.status import ExpertStatus, Status

Opener = Callable[[str | Path], Models]


class RuntimeCore:
    """Serves from `models`; `reload` changes them. Any thread may call anything.

    Its threads do not hold it: one that is dropped unclosed is closed.
    """

    def __init__(
        self, path: str | Path, opener: Opener, limits: Callable[[Models], QueueLimits], memory: int | None
    ) -> None:
        self._path, self._opener, self._asked_memory = path, opener, memory
        self.models = opener(path)
        self.limits = limits(self.models)
        accounts = MemoryBudget(self.models.budget(memory), _cost)
        self.executor = Executor(Health())
        scheduler: Scheduler[Request] = Scheduler(self.limits, accounts, _capacity)
        self.dispatcher = Dispatcher(scheduler, self.executor)
        self._lock = threading.Lock()
        self._requests: Counter[Models] = Counter()
        weakref.finalize(self, self.dispatcher.abandon).atexit = False

    @property
    def trouble(self) -> str | None:
        """Why nobody can be served now, or None: a thread of it died, or is stuck."""
        return self.dispatcher.trouble

    def request(
        self, prompt: str, params: GenerationParams, options: RequestOptions, listener: Listener
    ) -> Request:
        """Check a request for one image against the bundle now. Raises `Forked`, or as `Request.checked`."""
        self.dispatcher.home.check()
        return Request.checked(self.models, prompt, params, options, listener)

    def submit(self, request: Request) -> Ticket[Request]:
        """Let a checked request in. Raises `QueueFull`, `Closed`, `Unavailable`, `Forked`."""
        models, listener = request.models, request.listener
        request.listener = partial(self._hear, models, listener)
        with self._lock:
            self._requests[models] += 1
        try:
            options = request.options
            return self.dispatcher.submit(request, priority=options.priority, seconds=options.deadline)
        except BaseException:
            self._left(models)
            raise

    def warm(self) -> None:
        """Make an image of as few steps as can be on every expert: each is known to work then, and is open.

        Raises the failure of the first that does not.
        """
        manifest = self.models.bundle.manifest
        rows = manifest.schedules[manifest.defaults.solver].rows
        steps = next(number for number, count in enumerate(rows, start=1) if count)
        for name in sorted(manifest.experts):
            told: queue.SimpleQueue[Event | RuntimeFailure] = queue.SimpleQueue()
            params = GenerationParams(code=code_of(name), steps=steps)
            self.submit(self.request("", params, RequestOptions(), told.put))
            while not isinstance(event := told.get(), Finished):
                if isinstance(event, RuntimeFailure):
                    raise event

    def reload(self, path: str | Path | None = None) -> None:
        """Serve from the bundle that is at the path now. Requests under way end where they began.

        Raises what opening raises, and goes on as before then.
        """
        self.dispatcher.home.check()
        place = self._path if path is None else path
        models = self._opener(place)
        models.bundle.verify()  # now, and not when its first request needs a file
        models.budget(self._asked_memory)
        with self._lock:
            retired, self.models, self._path = self.models, models, place
            self._requests[retired] += 0
        self._clear(retired)

    def status(self) -> Status:
        """Return how it is doing now."""
        status: Status = self.dispatcher.look(self._status)
        return status

    def _hear(self, models: Models, listener: Listener, event: Event | RuntimeFailure) -> None:
        if isinstance(event, Finished | RuntimeFailure):
            self._left(models)
        listener(event)

    def _left(self, models: Models) -> None:
        with self._lock:
            self._requests[models] -= 1
            last = not self._requests[models] and models is not self.models
        if last:
            self._clear(models)

    def _clear(self, retired: Models) -> None:
        """Let go of a version that nobody uses any more."""
        with self._lock:
            if self._requests[retired] or retired is self.models:
                return
            del self._requests[retired]
        self.executor.health.forget(lambda patient: patient[0] is retired)
        self.dispatcher.retire(lambda key: isinstance(key, EngineKey) and key.models is retired)

    def _status(self, scheduler: Scheduler[Request]) -> Status:
        counts, memory, stats = scheduler.counts, scheduler.memory, self.executor.stats
        return Status(
            queued=len(scheduler.queue),
            running=scheduler.running,
            max_queued=self.limits.queued,
            max_running=self.limits.running,
            draining=self.dispatcher.closing,
            admitted=counts.admitted,
            finished=counts.finished,
            failed=counts.failed,
            cancelled=counts.cancelled,
            expired=counts.expired,
            rejected=counts.rejected,
            experts={
                name: self._expert(name, scheduler) for name in sorted(self.models.bundle.manifest.experts)
            },
            memory_used=memory.used,
            memory_budget=memory.budget,
            batch=self.models.batch,
            last_call=stats.last_call,
        )

    def _expert(self, name: str, scheduler: Scheduler[Request]) -> ExpertStatus:
        models, work = self.models, self.executor.stats.experts[name]
        running = Counter(
            request.choice.expert
            for ticket in scheduler.tickets()
            if (request := ticket.task).choice is not None
        )
        state = _state(models, name, scheduler.memory)
        return ExpertStatus(
            "quarantined" if self.executor.is_quarantined(models, name) else state,
            running[name],
            work.images,
            work.calls,
            work.rows,
            work.seconds,
        )


def limits(models: Models, running: int | None, queued: int | None) -> QueueLimits:
    """Return the limits that are asked for. None: room for a full call of every expert, and for four times as
    many that wait.

    Raises `UsageError`.
    """
    running = check_limit(running, "max_running")
    if queued != 0:
        queued = check_limit(queued, "max_queued")
    if running is None:
        running = max(4, models.batch * len(models.bundle.manifest.experts))
    return QueueLimits(running, 4 * running if queued is None else queued)


def _state(models: Models, name: str, memory: MemoryBudget) -> Literal["absent", "opening", "resident"]:
    engine = models.experts.engine_of(name)

    def is_its_own(key: Key | None) -> bool:
        return isinstance(key, EngineKey) and key.models is models and key.bucket.model == engine

    if any(map(is_its_own, memory)):
        return "resident"
    return "opening" if is_its_own(memory.opening) else "absent"


def _capacity(key: Key) -> int:
    assert isinstance(key, EngineKey)
    return 1 if key.decodes else key.models.capacity.of(key.bucket, key.models.batch)


def _cost(key: Key) -> int:
    assert isinstance(key, EngineKey)
    return key.models.cost(key.bucket)

"""A bundle behind a service: takes orders, tells how it is doing, and goes on to another version of it."""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from runtime.errors import RuntimeFailure
from runtime.models.models import Models
from runtime.request.settings import check_deadline, check_limit, check_previews, check_priority
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.scheduling.ticket import Key, Ticket
from runtime.service.dispatcher import Dispatcher
from runtime.service.events import Event, Finished
from runtime.service.executor import Executor
from runtime.service.health import Health
from runtime.service.job import EngineKey, Job, Listener, Wish
from runtime.service.order import Asked, code_of, take
from runtime.service.status import ExpertStatus, Status

Opener = Callable[[str | Path], Models]


class RuntimeCore:
    """Serves from `models`; `reload` changes them. Any thread may call anything."""

    def __init__(
        self, path: str | Path, opener: Opener, limits: Callable[[Models], QueueLimits], memory: int | None
    ) -> None:
        self._path, self._opener, self._asked_memory = path, opener, memory
        self.models = opener(path)
        self.limits = limits(self.models)
        accounts = MemoryBudget(self.models.budget(memory), _cost)
        self.crew = Executor(Health())
        self.service: Dispatcher[Job] = Dispatcher(Scheduler(self.limits, accounts, _capacity), self.crew)
        self._lock = threading.Lock()
        self._jobs: Counter[Models] = Counter()

    def submit(self, prompt: str, asked: Asked, listener: Listener, wish: Wish | None = None) -> Ticket[Job]:
        """Let an order in. Raises `UsageError`, `QueueFull`, `Closed`, and what `take` raises."""
        wish = wish or Wish()
        check_priority(wish.priority)
        check_deadline(wish.seconds)
        check_previews(wish.previews)
        with self._lock:
            models = self.models
            self._jobs[models] += 1
        try:
            job = Job(take(models, prompt, asked), models, partial(self._hear, models, listener), wish)
            return self.service.submit(job, priority=wish.priority, seconds=wish.seconds)
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
            self.submit("", Asked(code=code_of(name), steps=steps), told.put)
            while not isinstance(event := told.get(), Finished):
                if isinstance(event, RuntimeFailure):
                    raise event

    def reload(self, path: str | Path | None = None) -> None:
        """Serve from the bundle that is at the path now. Requests under way end where they began.

        Raises what opening raises, and goes on as before then.
        """
        place = self._path if path is None else path
        models = self._opener(place)
        models.bundle.verify()  # now, and not when its first request needs a file
        models.budget(self._asked_memory)
        with self._lock:
            retired, self.models, self._path = self.models, models, place
            self._jobs[retired] += 0
        self._clear(retired)

    def status(self) -> Status:
        """How it is doing now."""
        status: Status = self.service.look(self._status)
        return status

    def _hear(self, models: Models, listener: Listener, event: Event | RuntimeFailure) -> None:
        if isinstance(event, Finished | RuntimeFailure):
            self._left(models)
        listener(event)

    def _left(self, models: Models) -> None:
        with self._lock:
            self._jobs[models] -= 1
            last = not self._jobs[models] and models is not self.models
        if last:
            self._clear(models)

    def _clear(self, retired: Models) -> None:
        """Let go of a version that nobody uses any more."""
        with self._lock:
            if self._jobs[retired] or retired is self.models:
                return
            del self._jobs[retired]
        self.crew.health.forget(lambda patient: patient[0] is retired)
        self.service.retire(lambda key: isinstance(key, EngineKey) and key.models is retired)

    def _status(self, scheduler: Scheduler[Job]) -> Status:
        counts, memory, tally = scheduler.counts, scheduler.memory, self.crew.tally
        return Status(
            queued=len(scheduler.queue),
            running=scheduler.running,
            max_queued=self.limits.queued,
            max_running=self.limits.running,
            draining=self.service.closing,
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
            last_call=tally.last_call,
        )

    def _expert(self, name: str, scheduler: Scheduler[Job]) -> ExpertStatus:
        models, work = self.models, self.crew.tally.experts[name]
        running = Counter(
            job.choice.expert for ticket in scheduler.tickets() if (job := ticket.task).choice is not None
        )
        state = _state(models, name, scheduler.memory)
        return ExpertStatus(
            "quarantined" if self.crew.is_quarantined(models, name) else state,
            running[name],
            work.images,
            work.calls,
            work.rows,
            work.seconds,
        )


def limits(models: Models, running: int | None, queued: int | None) -> QueueLimits:
    """What is asked. None: room for a full call of every expert, and for four times as many that wait.

    Raises `UsageError`.
    """
    check_limit(running, "max_running")
    if queued != 0:
        check_limit(queued, "max_queued")
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

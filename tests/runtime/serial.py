"""The scheduler on one thread: all are prepared before an engine is opened, and that before any call."""

from collections.abc import Sequence
from typing import Any

from runtime.models.models import Models
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.service.executor import Executor
from runtime.service.generated import Generated
from runtime.service.health import Health
from runtime.service.request import Request


def generate(models: Models, prompts: Sequence[str], params: GenerationParams) -> list[Generated]:
    """The image of every prompt, image i with seed i."""
    executor, engines = Executor(Health()), dict[Any, Any]()
    memory = MemoryBudget(1 << 40, lambda key: key.models.cost(key.bucket))
    scheduler: Scheduler[Request] = Scheduler(
        QueueLimits(len(prompts), None), memory, lambda key: 1 if key.decodes else models.batch
    )
    requests = [
        Request.checked(models, prompt, params.numbered(index), RequestOptions(), lambda event: None)
        for index, prompt in enumerate(prompts)
    ]
    for request in requests:
        scheduler.admit(request, now=0.0)
    while scheduler:
        while ticket := scheduler.next_preparation():
            executor.prepare(ticket.task)
            scheduler.prepared(ticket)
        while opening := scheduler.next_opening():
            engines[opening.key] = executor.open(opening.key)
            scheduler.opened(opening.key, 0.0)
        group = scheduler.next_call()
        assert group is not None
        executor.call(group.key, engines[group.key], [ticket.task for ticket in group.tickets])
        scheduler.called(0.0, 0.0)
    return [request.image for request in requests if request.image is not None]

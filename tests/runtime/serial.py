"""The scheduler on one thread: all are prepared before an engine is opened, and that before any call."""

from collections.abc import Sequence
from typing import Any

from runtime.models.models import Models
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.service.executor import Executor
from runtime.service.generated import Generated
from runtime.service.health import Health
from runtime.service.job import Job
from runtime.service.order import Asked, take


def generate(models: Models, prompts: Sequence[str], **asked: Any) -> list[Generated]:
    """The image of every prompt, image i with seed i."""
    crew, engines = Executor(Health()), dict[Any, Any]()
    memory = MemoryBudget(1 << 40, lambda key: key.models.cost(key.bucket))
    scheduler: Scheduler[Job] = Scheduler(
        QueueLimits(len(prompts), None), memory, lambda key: 1 if key.decodes else models.batch
    )
    orders = [take(models, prompt, Asked(seed=seed, **asked)) for seed, prompt in enumerate(prompts)]
    jobs = [Job(order, models, lambda event: None) for order in orders]
    for job in jobs:
        scheduler.admit(job, now=0.0)
    while scheduler:
        while ticket := scheduler.next_preparation():
            crew.prepare(ticket.task)
            scheduler.prepared(ticket)
        while opening := scheduler.next_opening():
            engines[opening.key] = crew.open(opening.key)
            scheduler.opened(opening.key, 0.0)
        group = scheduler.next_call()
        assert group is not None
        crew.call(group.key, engines[group.key], [ticket.task for ticket in group.tickets])
        scheduler.called(0.0, 0.0)
    return [job.image for job in jobs if job.image is not None]

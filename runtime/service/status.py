"""How a service is doing, at one moment."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ExpertStatus:
    """One expert: its engine, the requests it runs now, and its work so far (`seconds` in UNet calls)."""

    state: Literal["absent", "opening", "resident", "quarantined"]
    running: int
    images: int
    calls: int
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """Requests now, and all so far: `admitted` is `queued` + `running` + those that ended, each in one way.

    `batch`: how many may share a call; `last_call`: the expert of the latest, and how many shared it.
    Memory is in bytes, of the engines' weights.
    """

    queued: int
    running: int
    max_queued: int | None
    max_running: int
    draining: bool
    admitted: int
    finished: int
    failed: int
    cancelled: int
    expired: int
    rejected: int
    experts: dict[str, ExpertStatus]
    memory_used: int
    memory_budget: int
    batch: int
    last_call: tuple[str, int] | None

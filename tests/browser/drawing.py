"""One request: its events as far as the studio lets them come, and what goes wrong on the way."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from runtime.request.params import ResolvedParams
from runtime.service.events import Event, Finished, Queued, Started, Step
from runtime.service.generated import Generated, RoutingDecision
from tests.browser import pictures


@dataclass(frozen=True, slots=True)
class Trouble:
    """The trouble of one request after step `at`; a stream without a failure just ends."""

    failure: Exception | None
    at: int


class Hand(Protocol):
    """The hand that is told how far a request has come, and says how far it may."""

    @property
    def ahead(self) -> int: ...

    async def reach(self, step: int) -> None: ...

    def begin(self) -> int: ...

    def call(self, expert: str) -> None: ...

    def end(self, number: int, expert: str | None, cancelled: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class AskedFor:
    """The image that a request asks for, and who draws it."""

    prompt: str
    params: ResolvedParams
    choice: RoutingDecision
    previews: int


class Drawing:
    """The events of one request."""

    def __init__(self, studio: Hand, asked: AskedFor, trouble: Trouble | None) -> None:
        self._studio, self._asked, self._trouble = studio, asked, trouble
        self._number = studio.begin()
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        studio, choice, total = self._studio, self._asked.choice, self._asked.params.steps
        yield Queued(studio.ahead)
        await studio.reach(0)
        yield Started(choice)
        previews = self._asked.previews
        marks = {round((i + 1) * total / (previews + 1)) for i in range(previews)} - {total}
        for done in range(1, total + 1):
            await studio.reach(done)
            if self._trouble and done > self._trouble.at:
                self._end(None)
                if self._trouble.failure:
                    raise self._trouble.failure
                return
            studio.call(choice.expert)
            yield Step(done, total, float(total - done), self._draw(done) if done in marks else None)
        self._end(choice.expert)
        asked = self._asked
        yield Finished(Generated(self._draw(total), asked.prompt, choice, asked.params, 0, 0, 217.4))

    async def __aenter__(self) -> "Drawing":
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._ended:
            self._end(None, cancelled=True)

    def _end(self, expert: str | None, cancelled: bool = False) -> None:
        self._ended = True
        self._studio.end(self._number, expert, cancelled)

    def _draw(self, done: int) -> pictures.Pixels:
        asked, params = self._asked, self._asked.params
        return pictures.draw(asked.prompt, params.seed, asked.choice.expert, done / params.steps, params.size)

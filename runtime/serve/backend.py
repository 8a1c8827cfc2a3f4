"""The interface that the server asks of a runtime, and nothing more: `runtime.Runtime` has it, and so have
stand-ins.
"""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Protocol, Self

from runtime.bundle.schema import Manifest
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.service.events import Event
from runtime.service.status import Status


class Opened(Protocol):
    """An opened bundle: what it holds, and which version it is."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def digest(self) -> str: ...


class BackendStream(Protocol):
    """The events of one admitted request. Leaving it cancels what has not ended."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


class Backend(Protocol):
    """A runtime that is open."""

    @property
    def bundle(self) -> Opened: ...

    @property
    def engine(self) -> str: ...

    def stream(self, prompt: str, params: GenerationParams, options: RequestOptions) -> BackendStream:
        """Admit a request at once, or raise why not."""

    def status(self) -> Status: ...

    @property
    def trouble(self) -> str | None:
        """Why nobody can be served now, such as a thread that died; None where all is well."""

    async def drain(self, seconds: float) -> bool:
        """Admit nothing more, and wait for what is under way. False if some of it was cut off."""

    async def reload(self) -> None:
        """Open the bundle at the path anew, for new requests. Raises what opening raises."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

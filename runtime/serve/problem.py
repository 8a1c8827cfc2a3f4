"""Problems as HTTP says them: a status, and OpenAI's error object.

Failures of the runtime's tree tell their message; what is unforeseen tells an id, and the log the rest.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from runtime.errors import (
    Closed,
    CodeUnavailable,
    DeadlineExceeded,
    EngineFailure,
    FieldError,
    Quarantined,
    QueueFull,
    RuntimeFailure,
    Unavailable,
    UsageError,
)

NOTHING: Mapping[str, str] = {}
INVALID, SERVER = "invalid_request_error", "server_error"
RETRY = 2  # seconds after which a server that is opening or leaving may be asked again
GONE = 499  # what the log says of a request whose client left before there was a reply
LONGEST = 3600  # seconds that a client is ever told to wait

# The first that fits: type of failure, status, OpenAI's type, code.
_TABLE: tuple[tuple[type[RuntimeFailure], int, str, str], ...] = (
    (UsageError, 400, INVALID, "invalid_value"),
    (QueueFull, 429, "rate_limit_error", "queue_full"),
    (Closed, 503, SERVER, "unavailable"),
    (Unavailable, 503, SERVER, "unavailable"),
    (Quarantined, 503, SERVER, "code_unavailable"),
    (CodeUnavailable, 404, INVALID, "model_not_found"),
    (DeadlineExceeded, 504, SERVER, "deadline_exceeded"),
    (EngineFailure, 500, SERVER, "engine_failure"),
    (RuntimeFailure, 500, SERVER, "failed"),
)


class Problem(Exception):
    """A reply that says what is wrong. `retry_after` is in whole seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(status, message)
        self.status, self.kind, self.param, self.code = status, kind, param, code
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[1])

    @classmethod
    def of(cls, failure: RuntimeFailure, spelt: Mapping[str, str] = NOTHING) -> "Problem":
        """Say what a failure of the runtime's is over HTTP.

        `spelt`: the client's own names for fields that have another here.
        """
        status, kind, code = next(entry[1:] for entry in _TABLE if isinstance(failure, entry[0]))
        wait = RETRY if isinstance(failure, Closed | Unavailable) else None
        if isinstance(failure, QueueFull | Quarantined):
            wait = whole_seconds(failure.retry_after)
        param = None
        if isinstance(failure, FieldError):
            param = spelt.get(failure.field, failure.field)
            if (failure.field, param) == ("code", "model"):
                status, code = 404, "model_not_found"
        elif isinstance(failure, CodeUnavailable):
            param = spelt.get("code")  # none where the prompt was sent there
        return cls(status, str(failure), kind=kind, param=param, code=code, retry_after=wait)

    @classmethod
    def unforeseen(cls, request_id: str) -> "Problem":
        """Say what a client is told of a mistake of ours."""
        message = f"the server made a mistake; its log tells more of request {request_id}"
        return cls(500, message, kind=SERVER, code="internal_error")

    @property
    def document(self) -> dict[str, Any]:
        """OpenAI's error object."""
        error = {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def body(self) -> bytes:
        """The same as JSON in ASCII: messages quote what clients sent, such as halves of surrogate pairs."""
        return json.dumps(self.document).encode()

    def response(self) -> Response:
        """Return the reply."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return Response(self.body, self.status, headers, media_type="application/json")


def no_model(name: str) -> Problem:
    """Say that there is no model of this name."""
    message = (
        f"there is no model {name[:64]!a}; /v1/models lists those there are, --served-model-name renames them"
    )
    return Problem(404, message, param="model", code="model_not_found")


def whole_seconds(seconds: float) -> int:
    """At least 1, at most an hour, rounded up: what Retry-After can say."""
    return LONGEST if not seconds < LONGEST else max(1, math.ceil(seconds))


async def _failed(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, RuntimeFailure), "the table says so"
    return Problem.of(failure).response()


async def _wrong(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem), "the table says so"
    return problem.response()


async def _misdirected(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "the table says so"
    asked = f"{request.method[:16]!a} {request.url.path[:64]!a}"
    if error.status_code == 405:
        problem = Problem(405, f"{asked}: this path has other methods", code="method_not_allowed")
    else:
        problem = Problem(404, f"{asked}: there is no such path", code="not_found")
    response = problem.response()
    response.headers.update(error.headers or {})
    return response


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=GONE)


HANDLERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    RuntimeFailure: _failed,
    Problem: _wrong,
    HTTPException: _misdirected,
    ClientDisconnect: _left,
}

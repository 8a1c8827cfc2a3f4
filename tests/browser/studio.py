"""What stands in for the runtime behind the page: it draws, and the test says how far and what goes wrong.

The face that tests use is `Studio`'s public one; a real server can be put behind the same face.
"""

import base64
import threading
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from . import pictures

EVERYTHING = 10**9  # as far as anybody goes
ROUTED = "2"  # where the router sends every prompt
SHARES = {"0": 0.4, "1": 0.5, "2": 0.8, "3": 0.6}
ABOUT: dict[str, Any] = {
    "name": "aptp",
    "version": "0.0.0",
    "engine": "fake",
    "bundle": "0123456789ab",
    "trained": True,
    "codes": [{"name": name, "share": share} for name, share in SHARES.items()],
    "dense": True,
    "defaults": {"steps": 25, "guidance": 2.0, "width": 64, "height": 64, "solver": "ddim"},
    "solvers": {"ddim": list(range(1, 101)), "euler": [10, 20, 25, 50]},
    "sizes": {"minimum": 32, "maximum": 256, "multiple": 16},
    "limits": {"prompt": 10000, "guidance": 1000, "n": 8},
}


class Gone(Exception):
    """The client has closed its connection."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one request. `at`: the step after which; None: instead of a stream, with `status`.

    An empty `error` drops the connection.
    """

    error: dict[str, Any] = field(default_factory=dict)
    status: int = 500
    at: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Studio:
    """Draws for all requests; `hold` and `release` say how far they may come.

    `asked_status` counts the questions for its state, `cancellations` the requests whose client went away.
    """

    def __init__(self, opened: bool = True) -> None:
        self.opened, self.draining = opened, False
        self.asked_status = self.cancellations = 0
        self.about = deepcopy(ABOUT)
        self._choice: dict[str, Any] = {"code": ROUTED, "margin": 0.0123, "fell_back": False}
        self._choice |= {"distance": None, "unfamiliar": False}
        self._troubles: deque[Trouble] = deque()
        self._level = EVERYTHING
        self._running = 0
        self._images = dict.fromkeys([*"0123", "dense"], 0)
        self._last: tuple[str, int] | None = None
        self._changed = threading.Condition()

    def hold(self, step: int) -> None:
        """Nobody comes further than `step`; at -1 all stay in the queue, at 0 they are routed and no more."""
        with self._changed:
            self._level = step
            self._changed.notify_all()

    def release(self) -> None:
        """Everybody comes to the end."""
        self.hold(EVERYTHING)

    def open(self) -> None:
        """Be ready; until then the server says that it is not."""
        self.opened = True

    def renew(self) -> None:
        """Serve another bundle."""
        self.about["bundle"] = "fedcba987654"

    def choose(self, **choice: Any) -> None:
        """What is told of the router's choice."""
        self._choice |= choice

    def refuse(self, message: str, *, seconds: int) -> None:
        """The queue is full for the next request."""
        error = {"message": message, "type": "rate_limit_error", "code": "queue_full"}
        self._troubles.append(Trouble(error, 429, headers={"retry-after": str(seconds)}))

    def lack(self, message: str) -> None:
        """There is no expert for the next request."""
        error = {"message": message, "type": "server_error", "code": "code_unavailable"}
        self._troubles.append(Trouble(error, 503))

    def object_to(self, field: str, message: str) -> None:
        """A field of the next request is wrong."""
        error = {"message": f"{field}: {message}", "type": "invalid_request_error", "param": field}
        self._troubles.append(Trouble(error, 400))

    def fail(self, message: str, *, at: int) -> None:
        """The next request fails after step `at`."""
        self._troubles.append(Trouble({"message": message, "type": "server_error"}, at=at))

    def drop(self, *, at: int) -> None:
        """The stream of the next request ends after step `at`, without a word."""
        self._troubles.append(Trouble(at=at))

    def wait_for(self, true: Callable[["Studio"], bool], seconds: float = 10) -> None:
        """Until something is so. Raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: true(self), seconds):
                raise TimeoutError(f"not so after {seconds} seconds")

    def status(self) -> dict[str, Any]:
        """What `/v1/status` answers."""
        with self._changed:
            self.asked_status += 1
            self._changed.notify_all()
            queued = self._running if self._level < 0 else 0
            idle = {"state": "resident", "running": 0, "calls": 0, "rows": 0, "seconds": 0.0}
            finished = sum(self._images.values())
            return {
                "queued": queued,
                "running": self._running - queued,
                "max_queued": 64,
                "max_running": 8,
                "draining": self.draining,
                "admitted": finished + self.cancellations + self._running,
                "finished": finished,
                "failed": 0,
                "cancelled": self.cancellations,
                "expired": 0,
                "rejected": 0,
                "experts": {name: {**idle, "images": images} for name, images in self._images.items()},
                "memory_used": 212_000_000,
                "memory_budget": 8_000_000_000,
                "batch": 8,
                "last_call": self._last,
            }

    def admit(self) -> Trouble | None:
        """What will go wrong with a request that has come."""
        with self._changed:
            return self._troubles.popleft() if self._troubles else None

    def draw(self, body: dict[str, Any], gone: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """The events of a stream. Raises `Gone` where the client went away."""
        with self._changed:
            self._running += 1
        try:
            yield from self._course(body, gone)
        except (Gone, GeneratorExit):
            with self._changed:
                self.cancellations += 1
            raise
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _course(self, body: dict[str, Any], gone: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        choice = self._choose(body)
        yield {"type": "queued", "ahead": 0 if self._level >= 0 else 3}
        self._wait(0, gone)
        yield {"type": "started", **choice}
        encoded = ""
        total, previews = body["steps"], body.get("partial_images", 0)
        marks = [round((i + 1) * total / (previews + 1)) for i in range(previews)]
        for done in range(1, total + 1):
            self._wait(done, gone)
            encoded = self._step(body, choice["expert"], done)
            walked = {"done": done, "total": total}
            yield {"type": "step", **walked}
            if done in marks and done < total:
                index = marks.index(done)
                yield {"type": "partial_image", "b64_json": encoded, "partial_image_index": index, **walked}
        with self._changed:
            self._images[choice["expert"]] += 1
        aptp = {**_told(body), **choice}
        made = {"created_at": 0, "size": body["size"], "output_format": "png", "aptp": aptp}
        yield {"type": "completed", "b64_json": encoded, **made}

    def _choose(self, body: dict[str, Any]) -> dict[str, Any]:
        expert = str(body.get("code", ROUTED))
        named = {"code": expert, "margin": None, "fell_back": False, "distance": None, "unfamiliar": False}
        shares = {"dense": 1.0} | {code["name"]: code["share"] for code in self.about["codes"]}
        return {**(named if "code" in body else self._choice), "expert": expert, "share": shares[expert]}

    def _step(self, body: dict[str, Any], expert: str, done: int) -> str:
        """The picture as it is after a step, as PNG in base64."""
        with self._changed:
            self._last = (expert, min(8, self._running))
        picture = pictures.draw(body["prompt"], body["seed"], expert, done / body["steps"], _size(body))
        return base64.b64encode(pictures.png(picture)).decode()

    def _wait(self, step: int, gone: Callable[[], bool]) -> None:
        with self._changed:
            while self._level < step:
                if gone():
                    raise Gone
                self._changed.wait(0.02)  # a closed connection wakes nobody
        if gone():
            raise Gone


def _size(body: dict[str, Any]) -> tuple[int, int]:
    width, height = (int(side) for side in body["size"].split("x"))
    return width, height


def _told(body: dict[str, Any]) -> dict[str, Any]:
    """What a request says of its image."""
    width, height = _size(body)
    return {
        **{key: body[key] for key in ("prompt", "seed", "steps", "guidance", "solver")},
        "width": width,
        "height": height,
        "negative_prompt": body.get("negative_prompt", ""),
        "dropped_tokens": 0,
        "negative_dropped_tokens": 0,
        "blank": False,
        "milliseconds": 217.4,
    }

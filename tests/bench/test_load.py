"""The load benchmark ends with an error of ours where it cannot measure."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bench import load
from bench.load import COMPLETED, Reply, Site, accounting, capacity, serving
from runtime.errors import EnvironmentMismatch, RuntimeFailure, UsageError


class Silent:
    """A server that answers and makes no image."""

    async def ask(self) -> Reply:
        await asyncio.sleep(0.01)
        return Reply(0.0, 429)


async def start(bundle: Path, *options: str) -> None:
    async with serving(bundle, [*options]):
        pass


@pytest.mark.parametrize(
    ("options", "reason"),
    [((), "the bundle cannot be served: "), (("--bundel", "x"), "error: unknown option '--bundel'")],
    ids=["bundle", "option"],
)
def test_a_server_that_does_not_start(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        asyncio.run(start(tmp_path / "none", *options))
    assert str(caught.value).startswith(f"the server did not start: {reason}")
    assert "; try: python -m runtime.serve --bundle " in str(caught.value)


def test_a_closed_loop_without_an_image() -> None:
    site: Any = Silent()
    with pytest.raises(UsageError, match=r"--closed 0\.03: no image was made in 0\.02 s; give more seconds"):
        asyncio.run(capacity(site, 1, 0.03))


def test_counts_that_differ() -> None:
    sent = [Reply(0.0, 200, events={COMPLETED: 1.0}), Reply(0.0, 429)]
    change = {"admitted": 1, "rejected": 1, "finished": 1, "failed": 0}
    assert accounting(sent, change) == {"sent": "2", "images": "1", "refused (429)": "1", "lost": "0"}
    with pytest.raises(RuntimeFailure, match="of 2 requests clients saw .*; the server counted"):
        accounting(sent, change | {"failed": 1})


def test_a_system_that_does_not_tell_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.process_memory, "read", lambda process: None)
    with pytest.raises(EnvironmentMismatch, match="how much memory a process holds"):
        Site(1, 0).held()

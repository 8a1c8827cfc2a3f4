"""The benchmark of a kept connection (`bench.load`) against a server without engines."""

import asyncio
import time

import pytest

from bench.latency import WARM, Latencies, kept, latencies
from tests.runtime.serve.conftest import Site
from tests.runtime.serve.fake_runtime import FakeRuntime


def test_it_measures_over_one_connection(site: Site, fake: FakeRuntime) -> None:
    found = asyncio.run(latencies(site.port, probes=3, images=2))
    assert (len(found.probes), len(found.images), found.engine) == (3, 2, [0.0125, 0.0125])
    assert fake.counts.finished == WARM + 2
    end = time.monotonic() + 30  # a reply may be read before its server counts the request
    while site.server.server_state.total_requests < 2 * WARM + 5:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert site.server.server_state.total_requests == 2 * WARM + 5


def test_its_table_is_in_milliseconds() -> None:
    rows = Latencies([0.001] * 3, [0.014] * 3, [0.0125] * 3).rows()
    assert [row["p50"] for row in rows] == ["1.000", "14.000", "12.500", "1.500"]


def test_a_refusal_ends_it(site: Site) -> None:
    async def ask() -> None:
        async with kept(site.port) as connection:
            await connection.ask("GET", "/nowhere")

    with pytest.raises(SystemExit, match="404"):
        asyncio.run(ask())

"""Metrics for Prometheus: requests over HTTP, the runtime's counts, and the process; a registry of its
own.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.errors import Closed
from runtime.serve.backend_state import Upstream
from runtime.serve.reply import code_of
from runtime.service.events import Event, Finished, Started
from runtime.service.status import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ENDS = ("finished", "failed", "cancelled", "expired")
STATES = ("absent", "opening", "resident", "quarantined")

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """All metrics of a server; `text` is what a scrape gets."""

    def __init__(self, upstream: Upstream) -> None:
        self._registry = registry = CollectorRegistry()
        self._replies = Counter(
            "aptp_http_requests_total",
            "Replies, by status (0: none)",
            ("method", "route", "status"),
            registry=registry,
        )
        self._http = _histogram(registry, "aptp_http_seconds", "From head to the reply's end", "route")
        self._queue = _histogram(registry, "aptp_queue_seconds", "From admission to the start")
        self._run = _histogram(registry, "aptp_run_seconds", "From the start to the image")
        ProcessCollector(registry=registry)
        registry.register(RuntimeMetrics(upstream))

    def replied(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a reply."""
        self._replies.labels(method, route, str(status)).inc()
        self._http.labels(route).observe(seconds)

    def timer(self) -> "RequestTimer":
        """Return the timer of a request that is admitted now."""
        return RequestTimer(self._queue, self._run)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format. Reads files of the process: not for the
        event loop.
        """
        return generate_latest(self._registry)


@dataclass(slots=True)
class RequestTimer:
    """How long one request waited and ran. `facts`: what the log says of it."""

    _queue: Histogram
    _run: Histogram
    facts: dict[str, Any] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def note(self, event: Event) -> None:
        """See an event at the moment it comes."""
        if not isinstance(event, Started | Finished):
            return
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        if isinstance(event, Started):
            self._queue.observe(seconds)
            self.facts |= {"code": code_of(event.choice), "expert": event.choice.expert}
            self.facts["queue_seconds"] = round(seconds, 6)
        else:
            self._run.observe(seconds)
            self.facts["run_seconds"] = round(seconds, 6)


class RuntimeMetrics(Collector):
    """The runtime's counts at the moment of a scrape; none while there is no runtime."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def describe(self) -> list[Metric]:
        """Nothing: names are known to be free, and there may be no runtime yet to ask."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask the runtime, once."""
        upstream = self._upstream
        yield _gauge("aptp_ready", "1 while requests are let in", int(upstream.trouble is None))
        reloads = CounterMetricFamily("aptp_reloads", "Bundles opened anew, or refused", labels=["outcome"])
        for outcome, count in upstream.reloads.items():
            reloads.add_metric([outcome], count)
        yield reloads
        try:
            runtime = upstream.runtime
        except Closed:
            return
        about = GaugeMetricFamily(
            "aptp_bundle_info", "The bundle that is served", labels=["bundle", "engine"]
        )
        about.add_metric([runtime.bundle.digest[:12], runtime.engine], 1)
        yield about
        status = runtime.status()
        yield from _requests(status)
        yield from _experts(status)


def _histogram(registry: CollectorRegistry, name: str, about: str, *labels: str) -> Histogram:
    return Histogram(name, about, labels, buckets=_SECONDS, registry=registry)


def _requests(status: Status) -> Iterator[Metric]:
    yield CounterMetricFamily("aptp_requests_admitted", "Requests let in", value=status.admitted)
    yield CounterMetricFamily(
        "aptp_requests_rejected", "Requests refused: the queue was full", value=status.rejected
    )
    ended = CounterMetricFamily("aptp_requests_ended", "Requests let in that have ended", labels=["end"])
    for end in ENDS:
        ended.add_metric([end], getattr(status, end))
    yield ended
    yield _gauge("aptp_requests_queued", "Requests that wait", status.queued)
    yield _gauge("aptp_requests_running", "Requests that have started", status.running)
    most = math.inf if status.max_queued is None else status.max_queued
    yield _gauge("aptp_requests_queued_most", "Requests that may wait", most)
    yield _gauge("aptp_requests_running_most", "Requests that may run", status.max_running)
    yield _gauge("aptp_call_requests_most", "Requests that may share a UNet call", status.batch)
    yield _gauge("aptp_memory_used_bytes", "Memory of open engines, as counted", status.memory_used)
    yield _gauge("aptp_memory_budget_bytes", "Memory that engines may hold", status.memory_budget)


def _experts(status: Status) -> Iterator[Metric]:
    labels = ["expert"]
    images = CounterMetricFamily("aptp_expert_images", "Images made", labels=labels)
    calls = CounterMetricFamily("aptp_expert_calls", "UNet calls", labels=labels)
    rows = CounterMetricFamily("aptp_expert_rows", "Batch rows of UNet calls", labels=labels)
    seconds = CounterMetricFamily("aptp_expert_seconds", "Time in UNet calls", labels=labels)
    running = GaugeMetricFamily("aptp_expert_running", "Requests that have started", labels=labels)
    state = GaugeMetricFamily("aptp_expert_state", "1 for the state it is in", labels=[*labels, "state"])
    for name, expert in status.experts.items():
        images.add_metric([name], expert.images)
        calls.add_metric([name], expert.calls)
        rows.add_metric([name], expert.rows)
        seconds.add_metric([name], expert.seconds)
        running.add_metric([name], expert.running)
        for known in STATES:
            state.add_metric([name, known], int(expert.state == known))
    yield from (images, calls, rows, seconds, running, state)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)

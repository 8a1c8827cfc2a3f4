"""Metrics as a scrape reads them."""

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.runtime.serve.fake_runtime import ExpertStatus, FakeRuntime

PATH = "/v1/images/generations"


def scrape(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_the_runtimes_counts(client: TestClient, fake: FakeRuntime) -> None:
    fake.counts.experts["3"] = ExpertStatus("quarantined", 1, 5, 40, 80, 2.5)
    fake.counts.rejected, fake.counts.queued = 7, 3
    client.post(PATH, json={"prompt": "", "n": 2})
    read = scrape(client)
    assert read["aptp_requests_admitted_total", ()] == 2
    assert read["aptp_requests_rejected_total", ()] == 7
    assert read["aptp_requests_ended_total", (("end", "finished"),)] == 2
    assert (read["aptp_requests_queued", ()], read["aptp_requests_running", ()]) == (3, 0)
    expert = (("expert", "3"),)
    assert [read[f"aptp_expert_{name}_total", expert] for name in ("images", "calls", "rows", "seconds")] == [
        5,
        40,
        80,
        2.5,
    ]
    assert read["aptp_expert_state", (*expert, ("state", "quarantined"))] == 1
    assert read["aptp_expert_state", (*expert, ("state", "resident"))] == 0
    assert (read["aptp_memory_used_bytes", ()], read["aptp_memory_budget_bytes", ()]) == (10, 20)
    assert read["aptp_bundle_info", (("bundle", fake.bundle.digest[:12]), ("engine", "fake"))] == 1
    assert read["aptp_ready", ()] == 1


def test_replies_and_times(client: TestClient) -> None:
    client.post(PATH, json={"prompt": ""})
    client.post(PATH, json={"prompt": "", "stream": True})
    client.post(PATH, json={})
    read = scrape(client)
    route = ("route", PATH)
    assert read["aptp_http_requests_total", (("method", "POST"), route, ("status", "200"))] == 2
    assert read["aptp_http_requests_total", (("method", "POST"), route, ("status", "400"))] == 1
    assert read["aptp_http_seconds_count", (route,)] == 3
    assert (read["aptp_queue_seconds_count", ()], read["aptp_run_seconds_count", ()]) == (2, 2)


def test_what_clients_make_up_is_one_metric(client: TestClient) -> None:
    for index in range(3):
        client.request(f"MADEUP{index}", f"/nowhere/{index}")
        client.get(f"/v1/models/{index}")
    labels = {sample[1] for sample in scrape(client) if sample[0] == "aptp_http_requests_total"}
    assert labels == {
        (("method", "unknown"), ("route", "unknown"), ("status", "404")),
        (("method", "GET"), ("route", "/v1/models/{model}"), ("status", "404")),
    }


def test_the_process_is_told(client: TestClient) -> None:
    read = scrape(client)
    assert read["process_resident_memory_bytes", ()] > 0
    assert read["process_open_fds", ()] > 0

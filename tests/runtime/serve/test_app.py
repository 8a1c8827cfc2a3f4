"""The routes that are not about one image: what is offered, what is going on, and what is not there."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from runtime.bundle.reader import Bundle
from runtime.errors import Unavailable
from runtime.serve.backend_state import ServingState, Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.page import Page
from tests.bundles import write_bundle
from tests.runtime.serve.conftest import VERSION, opened
from tests.runtime.serve.fake_runtime import ExpertStatus, FakeRuntime, failing

OFFERS = ("/v1/models", "/v1/models/aptp", "/v1/about", "/v1/status")


def test_models(client: TestClient, upstream: Upstream) -> None:
    models = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == [
        "aptp",
        *(f"aptp:{name}" for name in ("0", "1", "2", "3", "dense")),
    ]
    assert models[0] == {"id": "aptp", "object": "model", "created": upstream.since, "owned_by": "aptp"}
    assert client.get("/v1/models/aptp:dense").json() == models[-1]


@pytest.mark.parametrize("name", ["aptp:9", "dall-e-3", "aptp:"])
def test_an_unknown_model_is_not_there(client: TestClient, name: str) -> None:
    got = client.get(f"/v1/models/{name}")
    posted = client.post("/v1/images/generations", json={"prompt": "", "model": name})
    for reply in (got, posted):
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")


def test_the_model_has_the_names_that_its_operator_gave_it(upstream: Upstream, page: Page) -> None:
    with opened(upstream, ClientPolicy(models=("dall-e-3", "gpt-image-1")), page) as client:
        models = [model["id"] for model in client.get("/v1/models").json()["data"]]
        assert len(models) == 12
        for name in models:
            assert client.get(f"/v1/models/{name}").json()["id"] == name
            body = {"prompt": "", "model": name}
            assert client.post("/v1/images/generations", json=body).status_code == 200
        assert client.get("/v1/models/aptp").status_code == 404
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        pattern = schemas["Generation"]["properties"]["model"]["pattern"]
        assert all(re.search(pattern, name) for name in models)
        assert not re.search(pattern, "aptp")


def test_about(client: TestClient, fake: FakeRuntime) -> None:
    about = client.get("/v1/about").json()
    assert about["codes"] == [{"name": name, "share": 1.0} for name in "0123"]
    assert about["defaults"] == {"steps": 4, "guidance": 2.5, "width": 16, "height": 16, "solver": "ddim"}
    assert about["solvers"] == {"ddim": list(range(1, 11)), "plms": list(range(1, 11))}
    assert about["sizes"] == {"minimum": 8, "maximum": 32, "multiple": 8}
    assert about["limits"] == {"prompt": 10_000, "guidance": 1000.0, "n": 8, "body": 262_144}
    assert (about["dense"], about["trained"], about["version"]) == (True, False, VERSION)
    assert (about["engine"], about["bundle"]) == ("fake", fake.bundle.digest[:12])


def test_shares_are_known_without_dense(client: TestClient, fake: FakeRuntime, tmp_path: Path) -> None:
    fake.bundle = Bundle.open(write_bundle(tmp_path / "bundle", experts=("0", "2")))
    about = client.get("/v1/about").json()
    assert about["codes"] == [{"name": "0", "share": 1.0}, {"name": "2", "share": 1.0}]
    assert about["dense"] is False


def test_status(client: TestClient, fake: FakeRuntime) -> None:
    fake.counts.last_call = "2", 4
    status = client.get("/v1/status").json()
    assert (status["max_queued"], status["last_call"], status["draining"]) == (8, ["2", 4], False)
    assert status["experts"]["dense"]["state"] == "resident"


def test_a_runtime_that_cannot_serve_is_not_ready(client: TestClient, fake: FakeRuntime) -> None:
    fake.trouble = "the thread 'call' of the runtime died of MemoryError"
    fake.refusal = Unavailable(fake.trouble)
    reply = client.get("/readyz")
    assert (reply.status_code, reply.json()) == (503, {"status": "not ready", "reasons": [fake.trouble]})
    assert client.get("/healthz").status_code == 200
    assert "aptp_ready 0.0" in client.get("/metrics").text
    refused = client.post("/v1/images/generations", json={"prompt": "a red circle"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1


def test_readiness_tells_what_is_degraded(client: TestClient, fake: FakeRuntime) -> None:
    assert client.get("/readyz").json() == {"status": "ready", "degraded": []}
    fake.counts.experts["1"] = ExpertStatus("quarantined")
    reply = client.get("/readyz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ready", "degraded": ["1"]})


def test_before_the_bundle_is_open_only_the_process_is_there(page: Page, fake: FakeRuntime) -> None:
    upstream = Upstream(lambda: fake)
    with opened(upstream, ClientPolicy(), page) as client:
        upstream._runtime, upstream.state = None, ServingState.OPENING
        assert client.get("/healthz").status_code == 200
        assert (client.get("/readyz").status_code, client.get("/readyz").json()["reasons"]) == (
            503,
            ["opening"],
        )
        for path in OFFERS:
            reply = client.get(path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
            assert int(reply.headers["retry-after"]) >= 1
        assert client.post("/v1/images/generations", json={"prompt": ""}).status_code == 503
        assert "aptp_ready 0.0" in client.get("/metrics").text


def test_a_server_that_drains_lets_nothing_in(client: TestClient, upstream: Upstream) -> None:
    assert client.portal is not None
    client.portal.call(upstream.drain, 1.0)
    assert client.get("/readyz").json() == {"status": "not ready", "reasons": ["draining"]}
    assert client.post("/v1/images/generations", json={"prompt": ""}).status_code == 503
    for path in OFFERS:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/models/", "/healthz/", "/page", "/%2e%2e/etc/passwd", "//v1/about"]
)
def test_an_unknown_path_is_not_there(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_a_path_without_that_method(client: TestClient) -> None:
    for reply, allowed in (
        (client.get("/v1/images/generations"), {"POST"}),
        (client.delete("/v1/about"), {"GET", "HEAD"}),
    ):
        assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")
        assert set(reply.headers["allow"].split(", ")) == allowed


def test_other_sites_may_ask_only_where_they_are_named(upstream: Upstream, page: Page) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    with opened(upstream, ClientPolicy(), page) as client:
        assert (
            "access-control-allow-origin"
            not in client.options("/v1/images/generations", headers=asked).headers
        )
    with opened(upstream, ClientPolicy(origins=("https://a.example",), token="t" * 16), page) as client:
        reply = client.options("/v1/images/generations", headers=asked)
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, "https://a.example")
        other = client.options("/v1/images/generations", headers=asked | {"origin": "https://b.example"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers


def test_an_allowed_origin_may_send_the_headers_that_it_asks_for(upstream: Upstream, page: Page) -> None:
    sdk = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,x-stainless-timeout"
    asked = {
        "origin": "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": sdk,
        "access-control-request-private-network": "true",
    }
    with opened(upstream, ClientPolicy(origins=("https://a.example",)), page) as client:
        reply = client.options("/v1/images/generations", headers=asked)
        assert (reply.status_code, reply.headers["access-control-allow-headers"]) == (200, sdk)
        assert reply.headers["access-control-allow-private-network"] == "true"
        assert "access-control-allow-credentials" not in reply.headers


def test_a_page_may_read_every_refusal_of_a_site_that_allows_it(
    upstream: Upstream, page: Page, fake: FakeRuntime
) -> None:
    origin = {"origin": "https://a.example"}
    policy = ClientPolicy(origins=("https://a.example",), token="t" * 16)
    with opened(upstream, policy, page) as client:
        fake.script = failing(KeyError("a mistake"))
        token = {"authorization": f"Bearer {'t' * 16}"}
        for status, headers in ((401, {}), (500, token)):
            reply = client.post("/v1/images/generations", json={"prompt": ""}, headers=origin | headers)
            assert reply.status_code == status
            assert reply.headers["access-control-allow-origin"] == "https://a.example"
            assert "x-request-id" in reply.headers["access-control-expose-headers"]

"""The names that a server answers to."""

import pytest
from starlette.testclient import TestClient

from runtime.serve.backend_state import Upstream
from runtime.serve.hosts import LOOPBACK, served_names
from runtime.serve.limits import ClientPolicy
from runtime.serve.page import Page
from tests.runtime.serve.conftest import opened

PATHS = ("/", "/page/main.js", "/v1/about", "/v1/status", "/metrics", "/openapi.json", "/nowhere")


@pytest.fixture
def guarded(upstream: Upstream, page: Page):
    policy = ClientPolicy(hosts=(*LOOPBACK, "*.example.org", "Images.example.com"))
    with opened(upstream, policy, page) as client:
        yield client


def status(client: TestClient, path: str, host: str) -> int:
    return client.get(path, headers={"host": host}).status_code


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]", "[::1]:8000", "localhost:"),
        *("a.example.org", "a.b.example.org:80", "images.example.com"),
    ],
)
def test_its_own_names_are_served_with_any_port(guarded: TestClient, host: str) -> None:
    assert status(guarded, "/v1/about", host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "::1", ""),
        *(
            "example.org",
            "evilexample.org",
            "a.images.example.com",
            "localhost:80:80",
            "localhost@evil.example",
        ),
        *("localhost:evil.example", "[::1].evil.example", "127.0.0.2", "[::2]", "localhost/"),
    ],
)
def test_no_other_name_is(guarded: TestClient, host: str) -> None:
    for path in PATHS:
        reply = guarded.get(path, headers={"host": host})
        error = reply.json()["error"]
        assert (reply.status_code, error["type"], error["code"]) == (
            421,
            "invalid_request_error",
            "unknown_host",
        )
        assert "--allowed-hosts" in error["message"]
    body = {"prompt": "a red circle"}
    assert guarded.post("/v1/images/generations", json=body, headers={"host": host}).status_code == 421


def test_probes_are_answered_by_any_name(guarded: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        assert status(guarded, path, "10.1.2.3:8000") == 200


@pytest.mark.parametrize(
    ("address", "named", "served"),
    [
        ("127.0.0.1", (), {*LOOPBACK}),
        ("::1", (), {*LOOPBACK}),
        ("127.0.0.5", (), {*LOOPBACK, "127.0.0.5"}),
        ("127.0.0.1", ("images.example.org",), {*LOOPBACK, "images.example.org"}),
        ("127.0.0.1", ("*",), None),
        ("0.0.0.0", (), None),
        ("::", (), None),
        ("0.0.0.0", ("images.example.org",), {"images.example.org"}),
        ("10.0.0.1", ("*",), None),
    ],
)
def test_names_follow_from_address_and_operator(
    address: str, named: tuple[str, ...], served: set[str] | None
) -> None:
    found = served_names(address, named)
    assert (None if found is None else set(found)) == served

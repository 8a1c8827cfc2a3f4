"""The page's files: what they may load, and how they stay fresh."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from runtime.serve.backend_state import Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.page import Page
from tests.runtime.serve.conftest import opened


@pytest.mark.parametrize(("path", "kind"), [("/", "text/html"), ("/page/main.js", "text/javascript")])
def test_files_are_served_under_a_strict_policy(client: TestClient, path: str, kind: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith(kind)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_file_that_the_client_has_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/page/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..%2fsecret.js", "%2e%2e/secret.js", "link.js", "..%2f..%2fetc%2fpasswd", "", "a%00b"],
)
def test_nothing_outside_the_folder_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_a_server_without_its_page_is_a_server_still(upstream: Upstream, tmp_path: Path) -> None:
    with opened(upstream, ClientPolicy(), Page(tmp_path / "nothing")) as client:
        assert [client.get(path).status_code for path in ("/", "/page/main.js", "/healthz")] == [
            404,
            404,
            200,
        ]

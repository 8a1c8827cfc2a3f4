"""Authentication: a token opens what is not open anyway, and its file is checked."""

import hmac
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from runtime.errors import UsageError
from runtime.serve.authentication import read_token
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.page import Page
from tests.runtime.serve.conftest import opened

TOKEN = "correct-horse-battery"
CLOSED = ("/v1/models", "/v1/about", "/v1/status", "/metrics", "/v1/nowhere", "/nowhere")
OPEN = ("/", "/page/main.js", "/healthz", "/readyz", "/openapi.json")


@pytest.fixture
def guarded(upstream: Upstream, page: Page):
    with opened(upstream, ClientPolicy(token=TOKEN), page) as client:
        yield client


def test_the_token_opens(guarded: TestClient) -> None:
    for scheme in ("Bearer", "bearer"):
        for path in CLOSED[:4]:
            assert guarded.get(path, headers={"authorization": f"{scheme} {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xe4",
    ],
)
def test_nothing_else_does(guarded: TestClient, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for path in CLOSED:
        reply = guarded.get(path, headers=headers)
        assert (reply.status_code, reply.json()["error"]["type"]) == (401, "authentication_error")
        assert reply.headers["www-authenticate"] == "Bearer"


def test_tokens_are_compared_in_a_time_that_tells_nothing_of_them(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noting(given: bytes, expected: bytes) -> bool:
        compared.append((given, expected))
        return compare(given, expected)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    for token, status in ((TOKEN, 200), ("x", 401), ("", 401)):
        assert guarded.get("/v1/about", headers={"authorization": f"Bearer {token}"}).status_code == status
    assert len(compared) == 3
    assert (
        len({len(each) for pair in compared for each in pair}) == 1
    )  # digests: a length tells nothing either


def test_what_is_open_needs_none(guarded: TestClient) -> None:
    assert [guarded.get(path).status_code for path in OPEN] == [200] * len(OPEN)


def test_without_a_token_everything_is_open(client: TestClient) -> None:
    assert [client.get(path).status_code for path in CLOSED[:4]] == [200] * 4


def test_a_token_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f" {TOKEN}\n\n")
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("text", [b"", b"short", b"two tokens of two words", b"x" * 600, b"\xc3\xa4" * 20])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "token").write_bytes(text)
    with pytest.raises(UsageError, match="--token-file"):
        read_token(tmp_path / "token")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_token(tmp_path / "token")

"""The command line."""

from pathlib import Path

import pytest

from runtime.errors import UsageError
from runtime.serve.arguments import parse
from runtime.serve.limits import ClientPolicy


def test_the_defaults_are_for_this_machine_alone() -> None:
    options = parse([])
    assert (options.host, options.port, options.bundle, options.drain) == ("127.0.0.1", 8000, "bundle", 30.0)
    assert options.policy == ClientPolicy(hosts=())
    assert options.runtime == {
        "engine": "auto",
        **dict.fromkeys(("precision", "cache", "batch", "memory", "threads", "max_running", "max_queued")),
        "cache_group_writable": False,
    }


def test_everything_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery")
    options = parse(
        [
            *(
                "--host",
                "::1",
                "--port",
                "0",
                "--engine",
                "cpu",
                "--precision",
                "float32",
                "--batch",
                "2",
                "--memory",
                "1KB",
                "--threads",
                "1",
            ),
            *(
                "--max-running",
                "4",
                "--max-queued",
                "0",
                "--deadline",
                "2.5",
                "--drain",
                "1",
                "--cache",
                "there",
                "--cache-group-writable",
            ),
            *(
                "--token-file",
                str(tmp_path / "token"),
                "--cors",
                "https://a.example",
                "http://localhost:3000",
            ),
            *("--log-format", "json", "--bundle", "mine"),
            *("--allowed-hosts", "images.example.org", "*.example.com", "--seed", "random"),
            *("--served-model-name", "dall-e-3", "--served-model-name", "gpt-image-1"),
            *("--keep-alive", "620", "--connections", "2000", "--connections-per-address", "1000"),
        ]
    )
    assert options.runtime == {
        "engine": "cpu",
        "precision": "float32",
        "cache": "there",
        "cache_group_writable": True,
        "batch": 2,
        "memory": 1000,
        "threads": 1,
        "max_running": 4,
        "max_queued": 0,
    }
    assert (options.policy.token, options.policy.deadline) == ("correct-horse-battery", 2.5)
    policy = options.policy
    assert policy.origins == ("https://a.example", "http://localhost:3000")
    assert policy.hosts == ("images.example.org", "*.example.com")
    assert (policy.models, policy.seed) == (("dall-e-3", "gpt-image-1"), None)
    limits = policy.limits
    assert (limits.idle, limits.connections, limits.per_address) == (620, 2000, 1000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "65536"], "is no port"),
        (["--port", "-1"], "give an integer from 0|expected one argument"),
        (["--batch", "0"], "at least 1"),
        (["--max-running", "0"], "at least 1"),
        (["--deadline", "0"], "more than 0"),
        (["--drain", "inf"], "more than 0"),
        (["--drain", "soon"], "is not a number"),
        (["--cors", "example.org"], "give an origin"),
        (["--cors", "https://a.example/path"], "give an origin"),
        (["--allowed-hosts", "images.example.org:80"], "give names without port"),
        (["--allowed-hosts", "https://images.example.org"], "give names without port"),
        (["--served-model-name", "a:b"], "letters, digits"),
        (["--served-model-name", ""], "letters, digits"),
        (["--seed", "any"], "give an integer from 0, or random"),
        (["--seed", str(2**64)], r"from 0 to 2\^64 - 1"),
        (["--keep-alive", "0"], "at least 1"),
        (["--connections", "0"], "at least 1"),
        (["--connections-per-address", "-1"], "give an integer from 0|expected one argument"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(arguments)

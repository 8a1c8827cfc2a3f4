"""The command line of `python -m runtime.serve`, checked before anything is opened."""

import math
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.cli.parser import Parser, add_cache
from runtime.cli.values import check_limit, memory, whole
from runtime.engines.choice import ENGINES
from runtime.engines.precision import PRECISIONS
from runtime.errors import UsageError
from runtime.serve.authentication import read_token
from runtime.serve.limits import ClientPolicy
from runtime.serve.log import FORMATS


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """A command line that can be carried out. `runtime`: what `Runtime.open` takes besides the bundle."""

    bundle: str
    runtime: dict[str, Any]
    host: str
    port: int
    policy: ClientPolicy
    drain: float
    log_format: str
    cold: bool


def parse(arguments: Sequence[str] | None = None) -> ServeOptions:
    """Read the command line, and the token's file. Raises `UsageError`."""
    options = _parser().parse_args(arguments)
    for name in ("batch", "memory", "threads", "max_running"):
        check_limit(getattr(options, name), f"--{name.replace('_', '-')}")
    names = [*("engine", "precision", "cache", "cache_group_writable", "batch", "memory", "threads")]
    names += ["max_running", "max_queued"]
    return ServeOptions(
        bundle=options.bundle,
        runtime={name: getattr(options, name) for name in names},
        host=options.host,
        port=options.port,
        policy=_policy(options),
        drain=options.drain,
        cold=options.cold,
        log_format=options.log_format,
    )


def _policy(options: Namespace) -> ClientPolicy:
    for origin in options.cors:
        if origin != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]{1,253}", origin):
            raise UsageError(f"--cors {origin!r}: give an origin such as https://example.org, or *")
    token = None if options.token_file is None else read_token(Path(options.token_file))
    return ClientPolicy(token, tuple(options.cors), options.deadline)


def _parser() -> Parser:
    parser = Parser(prog="python -m runtime.serve", description="Serve a bundle over HTTP.")
    add = parser.add_argument
    add(
        "--bundle",
        default="bundle",
        metavar="DIR",
        help="the bundle (default: ./bundle); SIGHUP reads it again",
    )
    add(
        "--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1, this machine only)"
    )
    add("--port", type=_port, default=8000, help="0 takes a free one, and logs it (default: 8000)")
    add("--engine", choices=ENGINES, default="auto", help="what runs the UNet (default: auto)")
    add("--precision", choices=PRECISIONS, help="what it computes in (default: the least it has earned here)")
    add("--batch", type=whole, metavar="N", help="requests that may share a UNet call")
    add("--memory", type=memory, metavar="8GiB", help="what engines may hold (default: half of all)")
    add("--threads", type=whole, metavar="N", help="of one call (default: the engine's choice)")
    add_cache(parser)
    add("--max-running", type=whole, metavar="N", help="requests that are worked on at a time")
    add("--max-queued", type=whole, metavar="N", help="requests that may wait; 429 for more")
    add("--deadline", type=_seconds, metavar="S", help="for requests that name none (default: none)")
    add(
        "--drain",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="for what is under way at the end (default: 30)",
    )
    add("--cold", action="store_true", help="be ready before every expert has made an image")
    add("--token-file", metavar="FILE", help="a token that clients have to send")
    add("--cors", nargs="+", default=[], metavar="ORIGIN", help="other sites whose pages may ask")
    add("--log-format", choices=FORMATS, default="text", help="on standard error (default: text)")
    return parser


def _port(text: str) -> int:
    if whole(text) > 65_535:
        raise ArgumentTypeError(f"{text!r} is no port; give one from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < seconds < math.inf:
        raise ArgumentTypeError(f"{text!r}: give seconds, more than 0")
    return seconds

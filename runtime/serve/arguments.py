"""The command line of `python -m runtime.serve`, checked before anything is opened."""

import math
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime.cli.parser import Parser, add_cache
from runtime.cli.values import check_limit, memory, seed, whole
from runtime.engines.choice import ENGINES
from runtime.engines.precision import PRECISIONS
from runtime.errors import UsageError
from runtime.request.params import check_seed
from runtime.serve.authentication import read_token
from runtime.serve.hosts import NAME
from runtime.serve.limits import LIMITS, ClientPolicy
from runtime.serve.log import FORMATS
from runtime.serve.request_body import MODEL


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
    for host in options.allowed_hosts:
        if not NAME.fullmatch(host):
            raise UsageError(
                f"--allowed-hosts {host!r}: give names without port, such as images.example.org, "
                "*.example.org or *"
            )
    for name in options.served_model_name:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
            raise UsageError(f"--served-model-name {name!r}: give 1 to 64 letters, digits and ._-")
    for name in ("connections", "connections_per_address", "keep_alive"):
        check_limit(getattr(options, name), f"--{name.replace('_', '-')}")
    return ClientPolicy(
        token=None if options.token_file is None else read_token(Path(options.token_file)),
        origins=tuple(options.cors),
        hosts=tuple(options.allowed_hosts),
        models=tuple(dict.fromkeys(options.served_model_name)) or (MODEL,),
        deadline=options.deadline,
        seed=None if options.seed is None else check_seed(options.seed),
        limits=replace(
            LIMITS,
            idle=options.keep_alive,
            connections=options.connections,
            per_address=options.connections_per_address,
        ),
    )


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
    _add_client_options(parser)
    add("--log-format", choices=FORMATS, default="text", help="on standard error (default: text)")
    return parser


def _add_client_options(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--served-model-name",
        action="append",
        default=[],
        metavar="NAME",
        help="what clients call the model (default: aptp); may be given several times",
    )
    add("--seed", type=seed, default=0, metavar="N|random", help="for requests that name none (default: 0)")
    add("--token-file", metavar="FILE", help="a token that clients have to send")
    add("--cors", nargs="+", default=[], metavar="ORIGIN", help="other sites whose pages may ask")
    add(
        "--allowed-hosts",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names that clients may reach the server by; * for any (default: this machine's own, or any)",
    )
    for name, default, about in (
        ("--keep-alive", LIMITS.idle, "seconds for which an idle connection stays open"),
        ("--connections", LIMITS.connections, "connections that may be open"),
        ("--connections-per-address", LIMITS.per_address, "of these, from one address"),
    ):
        add(name, type=whole, default=default, metavar="N", help=f"{about} (default: {default})")


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

"""The command line of `python -m runtime.bench`, checked against the bundle before anything is measured."""

import hashlib
import math
import shlex
import sys
from argparse import Namespace
from argparse import _ArgumentGroup as Group  # argparse has no public name for it
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.bench.peers import PEERS
from runtime.bench.spec import (
    ENGINES,
    LEVELS,
    BenchSpec,
    absent_engines,
    choose,
    choose_engines,
    choose_experts,
    choose_rates,
    choose_rows,
)
from runtime.bundle.manifest import MANIFEST
from runtime.bundle.reader import Bundle
from runtime.cli.parser import Parser, add_cache
from runtime.cli.prompts import read_prompts
from runtime.cli.values import check_limit, memory, size, whole
from runtime.diffusion.schedule import Solver
from runtime.errors import UsageError
from runtime.request.params import GenerationParams
from runtime.scheduling.capacity import default_batch
from runtime.text.tokenizer import check_prompt
from runtime.timing.turns import Effort

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class BenchCommand:
    """A checked command line. `about`: its description for the report."""

    spec: BenchSpec
    bundle: Bundle
    about: dict[str, Any]
    out: Path
    overwrite: bool
    charts: bool
    json: bool


def parse(arguments: Sequence[str] | None = None) -> BenchCommand:
    """Read the command line, and open the bundle. Raises `UsageError`, and as `Bundle.open` does."""
    options = _parser().parse_args(arguments)
    bundle = Bundle.open(options.bundle)
    spec = _spec(options, bundle)
    out = Path(options.out) if options.out else bundle.root.with_name(f"{bundle.root.name}.bench")
    about = _about(spec, bundle, sys.argv[1:] if arguments is None else arguments)
    return BenchCommand(spec, bundle, about, out, options.overwrite, not options.no_charts, options.json)


def _parser() -> Parser:
    about = "Measure what a bundle costs on this machine."
    parser = Parser(prog="python -m runtime.bench", description=about)
    _add_subjects(parser.add_argument_group("what is measured"))
    _add_peers(parser.add_argument_group("who it is compared with"))
    _add_effort(parser.add_argument_group("how"))
    _add_output(parser.add_argument_group("where it goes"))
    return parser


def _add_subjects(group: Group) -> None:
    group.add_argument("--bundle", default="bundle", metavar="DIR", help="the bundle (default: ./bundle)")
    group.add_argument(
        "--engines", dest="engine", default="auto", metavar="A,B", help=f"of {', '.join(ENGINES)}, or all"
    )
    group.add_argument("--codes", default="all", metavar="K,dense", help="first the one to compare with")
    group.add_argument("--levels", metavar="A,B", help=f"of {', '.join(LEVELS)} (default: all)")
    group.add_argument("--rows", metavar="1,2,4", help="rows of a UNet call; a guided image takes two")
    group.add_argument("--prompts", metavar="FILE", help="also the mixture: prompts, one a line")
    group.add_argument("--images", type=whole, metavar="N", help="the first N prompts (default: all)")
    group.add_argument("--running", type=whole, default=8, metavar="N", help="under way (default: 8)")
    group.add_argument("--passes", type=whole, default=3, metavar="N", help="of the mixture (default: 3)")
    group.add_argument("--rates", metavar="A,B", help="also prompts that arrive so often, images a second")
    group.add_argument("--rate-seconds", type=float, default=30.0, help="at each rate (default: 30)")


def _add_peers(group: Group) -> None:
    group.add_argument(
        "--peers",
        nargs="?",
        const="all",
        metavar="A,B",
        help=f"of {', '.join(PEERS)} (default: all); of the source tree, not of the wheel",
    )
    group.add_argument("--checkpoint", metavar="DIR", help="the diffusers folder that peers load")
    group.add_argument("--device", choices=DEVICES, default="cpu", help="where peers run (default: cpu)")
    group.add_argument(
        "--peer-python", action="append", default=[], metavar="NAME=PYTHON", help="a peer's own interpreter"
    )


def _add_effort(group: Group) -> None:
    group.add_argument("--rounds", type=whole, default=10, help="samples of each (default: 10)")
    group.add_argument("--seconds", type=float, default=1.0, help="of samples, at least (default: 1)")
    group.add_argument("--minutes", type=float, help="stop then, and keep what was measured")
    group.add_argument("--steps", type=whole, help="of loops and images (default: the bundle's)")
    group.add_argument("--guidance", type=float, help="default: the bundle's")
    group.add_argument("--size", type=size, metavar="WxH", help="pixels (default: the bundle's)")
    group.add_argument("--solver", help="default: the bundle's")
    group.add_argument("--batch", type=whole, help="images that may share a call")
    group.add_argument("--threads", type=whole, help="of one call (default: the engine's choice)")
    group.add_argument("--memory", type=memory, metavar="8GiB", help="for engines (default: half of all)")
    add_cache(group)


def _add_output(group: Group) -> None:
    group.add_argument("--out", metavar="DIR", help="the report (default: the bundle's name with .bench)")
    group.add_argument("--overwrite", action="store_true", help="replace the report that is there")
    group.add_argument("--no-charts", action="store_true", help="draw none (they need matplotlib)")
    group.add_argument("--json", action="store_true", help="print the report as JSON on standard output")


def _spec(options: Namespace, bundle: Bundle) -> BenchSpec:
    manifest = bundle.manifest
    asked = GenerationParams(
        solver=options.solver, steps=options.steps, guidance=options.guidance, size=options.size
    )
    params = asked.resolve(manifest)
    Solver.load(bundle, params.solver).steps(params)  # refuses a step count that it does not offer
    for name in ("rounds", "running", "passes", "images", "batch", "threads", "memory"):
        check_limit(getattr(options, name), f"--{name}")
    if not 0 <= options.seconds < math.inf:
        raise UsageError(f"--seconds {options.seconds}: give a number from 0")
    if not 0 < options.rate_seconds < math.inf:
        raise UsageError(f"--rate-seconds {options.rate_seconds}: give a number above 0")
    rates = choose_rates(options.rates)
    if rates and options.prompts is None:
        raise UsageError("--rates: says how often prompts arrive; name their file with --prompts")
    if options.minutes is not None and not options.minutes > 0:
        raise UsageError(f"--minutes {options.minutes}: give a number above 0")
    batch = options.batch or default_batch(max(expert.macs for expert in manifest.experts.values()))
    peers = choose(options.peers, tuple(PEERS), "--peers") if options.peers not in (None, "all") else ()
    return BenchSpec(
        bundle=Path(options.bundle),
        engines=choose_engines(options.engine, manifest),
        absent=absent_engines(options.engine, manifest),
        experts=choose_experts(options.codes, manifest),
        params=params,
        levels=choose(options.levels, LEVELS, "--levels") if options.levels else LEVELS,
        rows=choose_rows(options.rows, batch),
        effort=Effort(options.rounds, options.seconds),
        prompts=_prompts(options),
        passes=options.passes,
        rates=rates,
        rate_seconds=options.rate_seconds,
        minutes=options.minutes,
        running=options.running,
        peers=tuple(PEERS) if options.peers == "all" else peers,
        peer_pythons=_pythons(options.peer_python),
        device=options.device,
        checkpoint=_checkpoint(options),
        cache=Path(options.cache) if options.cache else None,
        cache_group_writable=options.cache_group_writable,
        batch=options.batch,
        threads=options.threads,
        memory=options.memory,
    )


def _prompts(options: Namespace) -> tuple[str, ...]:
    if options.prompts is None:
        if options.images is not None:
            raise UsageError("--images: says how many prompts to take; name their file with --prompts")
        return ()
    prompts = [check_prompt(prompt) for prompt in read_prompts(options.prompts)]
    if len(prompts) < (options.images or 1):
        raise UsageError(f"--prompts {options.prompts}: has {len(prompts)} prompts, too few")
    return tuple(prompts[: options.images])


def _checkpoint(options: Namespace) -> Path | None:
    if options.peers and not options.checkpoint:
        raise UsageError("--peers: they load the model from a diffusers folder; name it with --checkpoint")
    if options.checkpoint and not (Path(options.checkpoint) / "model_index.json").is_file():
        raise UsageError(f"--checkpoint {options.checkpoint}: has no model_index.json, so it is no pipeline")
    return Path(options.checkpoint) if options.checkpoint else None


def _pythons(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, _, python = pair.partition("=")
        if not python:
            raise UsageError(
                f"--peer-python {pair}: give a peer and its interpreter, such as optimum=env/bin/python"
            )
        choose(name, tuple(PEERS), "--peer-python")
        found[name] = str(Path(python).absolute())
    return found


def _about(spec: BenchSpec, bundle: Bundle, arguments: Sequence[str]) -> dict[str, Any]:
    source = bundle.manifest.source
    return {
        "command": shlex.join(["python", "-m", "runtime.bench", *arguments]),
        "manifest": hashlib.sha256((bundle.root / MANIFEST).read_bytes()).hexdigest(),
        "source": source.name,
        "trained": source.trained,
        "engines": list(spec.engines),
        "experts": list(spec.experts),
        "rounds": spec.effort.rounds,
        "seconds": spec.effort.seconds,
        **spec.params.recorded(),
    }

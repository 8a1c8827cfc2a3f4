"""`python -m runtime.generate`: draw prompts to PNG files, a grid, and a table."""

import os
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Literal

from runtime.api.pipeline import Pipeline
from runtime.cli.parser import Parser, add_cache, run
from runtime.cli.prompts import read_prompts
from runtime.cli.values import seed, size
from runtime.engines.choice import ENGINES
from runtime.engines.precision import PRECISIONS
from runtime.errors import RuntimeFailure, UsageError
from runtime.formats import GRID
from runtime.generate.album import Album
from runtime.request.params import GenerationParams, random_seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate what the command line asks for. Raises `RuntimeFailure`."""
    options = _parser().parse_args(arguments)
    if options.seed is None:
        options.seed = random_seed()
    prompts = _prompts(options)
    folder = Path(options.out)
    sheet = folder / GRID if options.grid else None
    album = Album(prompts, [folder / name for name in _names(prompts, options.seed)], sheet)
    _check_targets([*album.paths, *([sheet] if sheet else [])], options.overwrite)
    try:
        _generate(options, album)
    except RuntimeFailure:
        if not album:  # or it is one of those that the album tells of
            raise
    finally:  # after an interrupt as well: what is done is kept, and told
        if album:
            _finish(album, options.json)
    return album.exit_code


def _finish(album: Album, as_json: bool) -> None:
    album.save_sheet()
    if as_json:
        album.print_json()
    album.print_table()


def _parser() -> Parser:
    parser = Parser(prog="python -m runtime.generate", description="Make images from prompts with a bundle.")
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="one image is made for each")
    parser.add_argument(
        "--prompts", dest="file", metavar="FILE", help="take more prompts from a file, one a line"
    )
    parser.add_argument("--bundle", default="bundle", metavar="DIR", help="the bundle (default: ./bundle)")
    parser.add_argument("--out", default="out", metavar="DIR", help="where images go (default: ./out)")
    parser.add_argument("--overwrite", action="store_true", help="replace images that are there already")
    parser.add_argument("--grid", action="store_true", help=f"also write all images on one sheet, {GRID}")
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N|random", help="image i has seed N + i (default: 0)"
    )
    parser.add_argument("--steps", type=_integer, help="default: the bundle's")
    parser.add_argument("--guidance", type=_number, help="1 or less switches it off (default: the bundle's)")
    parser.add_argument("--size", type=size, metavar="WxH", help="pixels (default: the bundle's)")
    parser.add_argument("--solver", help="default: the bundle's")
    parser.add_argument("--code", type=_code, metavar="K|dense", help="override the router")
    parser.add_argument("--negative-prompt", default="", metavar="TEXT", help="what to steer away from")
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what runs the UNet (default: auto)"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="what it computes in (default: the least it has earned here)"
    )
    parser.add_argument(
        "--batch", type=_integer, help="images that may share a UNet call (default: by the experts' size)"
    )
    add_cache(parser)
    parser.add_argument("--json", action="store_true", help="print results as JSON on standard output")
    return parser


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,30}", text):
        raise ArgumentTypeError(f"{text!r} is not an integer")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None


def _code(text: str) -> int | Literal["dense"]:
    return "dense" if text == "dense" else _integer(text)


def _prompts(options: Namespace) -> list[str]:
    prompts: list[str] = list(options.prompts)
    if options.file is not None:
        prompts += read_prompts(options.file)
    if not prompts:
        raise UsageError('no prompt was given; add one in quotes, such as "a red circle", or --prompts FILE')
    return prompts


def _names(prompts: Sequence[str], seed: int) -> list[str]:
    names = []
    for index, prompt in enumerate(prompts):
        slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40].rstrip("-")
        names.append("-".join(filter(None, [f"{index:03d}", slug, f"seed{seed + index}"])) + ".png")
    return names


def _check_targets(paths: Sequence[Path], overwrite: bool) -> None:
    # Before any work: an hour of images must not end in a refusal to write them.
    for path in paths:
        if os.path.isdir(path):
            raise UsageError(f"{path}: is a folder, where an image is to be; choose another --out")
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path}: is there already; add --overwrite, or choose another --out")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: is not a folder that can be made: {error.strerror}") from error


def _generate(options: Namespace, album: Album) -> None:
    from runtime.cli.progress import Counting
    from runtime.cli.terminal import open_console

    console = open_console()
    console.quiet |= not console.is_terminal  # the table below is all that a log needs
    with Pipeline.open(
        options.bundle,
        engine=options.engine,
        precision=options.precision,
        cache=options.cache,
        cache_group_writable=options.cache_group_writable,
        batch=options.batch,
    ) as runtime:
        _make(Path(options.out))
        done = count(1)
        with Counting(console) as progress:
            runtime.generate(
                album.prompts,
                GenerationParams(
                    negative_prompt=options.negative_prompt,
                    seed=options.seed,
                    steps=options.steps,
                    guidance=options.guidance,
                    size=options.size,
                    solver=options.solver,
                    code=options.code,
                ),
                on_step=lambda _, step, rows: progress.tell("steps", next(done), rows * len(album.prompts)),
                on_image=album.add,
            )


if __name__ == "__main__":
    run(main)

"""`python -m runtime.generate`: prompts to PNG files, a grid, and a table."""

import json
import re
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from .cli import Parser, run
from .engines.onnx import PROVIDERS
from .errors import UsageError
from .generated import Generated
from .pipeline import Runtime

GRID = "grid.png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate what the command line asks for. Raises `RuntimeFailure`."""
    options = _parser().parse_args(arguments)
    prompts = _prompts(options)
    folder = Path(options.out)
    paths = [folder / name for name in _names(prompts, options.seed)]
    if not options.overwrite:
        _check_targets([*paths, folder / GRID] if options.grid else paths)
    images = _generate(options, prompts, folder)
    _save(images, paths, folder / GRID if options.grid else None)
    _report(images, paths, as_json=options.json)
    return 0


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
    parser.add_argument("--seed", type=_integer, default=0, help="image i has seed SEED + i (default: 0)")
    parser.add_argument("--steps", type=_integer, help="default: the bundle's")
    parser.add_argument("--guidance", type=_number, help="1 switches it off (default: the bundle's)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="pixels (default: the bundle's)")
    parser.add_argument("--solver", help="default: the bundle's")
    parser.add_argument("--code", type=_code, metavar="K|dense", help="override the router")
    parser.add_argument("--negative-prompt", default="", metavar="TEXT", help="what to steer away from")
    parser.add_argument(
        "--provider", choices=PROVIDERS, default="auto", help="what runs the UNet (default: auto)"
    )
    parser.add_argument(
        "--batch", type=_integer, default=1, help="images that may share a UNet call (default: 1)"
    )
    parser.add_argument("--cache", metavar="DIR", help="derived files (default: $XDG_CACHE_HOME/aptp)")
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


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
    if not match:
        raise ArgumentTypeError(f"{text!r}: give height and width in pixels, for example 512x512")
    return int(match[1]), int(match[2])


def _code(text: str) -> int | Literal["dense"]:
    return "dense" if text == "dense" else _integer(text)


def _prompts(options: Namespace) -> list[str]:
    prompts: list[str] = list(options.prompts)
    if options.file is not None:
        try:
            lines = Path(options.file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--prompts {options.file}: cannot be read as UTF-8 text: {error}") from error
        prompts += [line for line in lines if line.strip()]
    if not prompts:
        raise UsageError('no prompt was given; add one in quotes, such as "a red circle", or --prompts FILE')
    return prompts


def _names(prompts: Sequence[str], seed: int) -> list[str]:
    names = []
    for index, prompt in enumerate(prompts):
        slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40].rstrip("-")
        names.append("-".join(filter(None, [f"{index:03d}", slug, f"seed{seed + index}"])) + ".png")
    return names


def _check_targets(paths: Sequence[Path]) -> None:
    # Before any work: an hour of images must not end in a refusal to write them.
    for path in paths:
        if path.exists():
            raise UsageError(f"{path}: is there already; add --overwrite, or choose another --out")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: is not a folder that can be made: {error.strerror}") from error


def _generate(options: Namespace, prompts: Sequence[str], folder: Path) -> list[Generated]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("opening the bundle", total=None)
        with Runtime.open(
            options.bundle, provider=options.provider, cache=options.cache, batch=options.batch
        ) as runtime:
            _make(folder)

            def show(_: int, done: int, rows: int) -> None:
                progress.update(task, description="steps", total=rows * len(prompts), advance=1)

            return runtime.generate(
                prompts,
                negative_prompt=options.negative_prompt,
                seed=options.seed,
                steps=options.steps,
                guidance=options.guidance,
                size=options.size,
                solver=options.solver,
                code=options.code,
                on_step=show,
            )


def _save(images: Sequence[Generated], paths: Sequence[Path], sheet: Path | None) -> None:
    from .images import grid, save_png

    for image, path in zip(images, paths, strict=True):
        save_png(image, path)
    if sheet is not None:
        grid(images).save(sheet)


def _report(images: Sequence[Generated], paths: Sequence[Path], *, as_json: bool) -> None:
    from .images import describe

    if as_json:
        results = [
            {"file": str(path), "milliseconds": round(image.milliseconds, 3), **describe(image)}
            for image, path in zip(images, paths, strict=True)
        ]
        sys.stdout.write(json.dumps(results, indent=1) + "\n")
    _table(images, paths)


def _table(images: Sequence[Generated], paths: Sequence[Path]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("prompt", "code", title=f"images in {paths[0].parent}", title_justify="left")
    table.add_column("margin", justify="right")
    table.add_column("ms", justify="right")
    table.add_column("file", overflow="fold")
    console = Console(stderr=True)
    for image, path in zip(images, paths, strict=True):
        choice = image.choice
        code = "dense" if choice.code is None else str(choice.code)
        code += f" → {choice.expert}" if choice.fell_back else ""
        margin = "" if choice.margin is None else f"{choice.margin:.3f}"
        table.add_row(Text(image.prompt), code, margin, f"{image.milliseconds:.0f}", Text(path.name))
    console.print(table)
    for image in images:
        for warning in _warnings(image):
            console.print(Text(f"warning: {image.prompt[:48]!r}: {warning}"))


def _warnings(image: Generated) -> list[Any]:
    warnings = []
    if image.blank:
        warnings.append("the image is blank: untrained weights, or a broken engine (try --provider cpu)")
    if image.dropped_tokens:
        warnings.append(f"the prompt is too long: its last {image.dropped_tokens} tokens were not used")
    if image.choice.fell_back:
        warnings.append(
            f"code {image.choice.code} is not in the bundle: {image.choice.expert} made the image"
        )
    return warnings


if __name__ == "__main__":
    run(main)

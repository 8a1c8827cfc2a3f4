"""The user's terminal, on standard error."""

import os

from rich.console import Console


def open_console(width: int | None = None) -> Console:
    """Open the terminal. Where there is none to measure, lines are `width` characters wide.

    A launcher of several processes gives the terminal to the first alone.
    """
    console = Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
    if width is not None and not console.is_terminal:
        console.width = width
    return console


def say(console: Console, line: object) -> None:
    """Print `line` as it is: without markup, highlights, or line breaks of ours."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def quieten() -> None:
    """Keep the advice of the libraries below us off the user's terminal; call it before importing them."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):  # the bars shown here are our own
        os.environ.setdefault(name, "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

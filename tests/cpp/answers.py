"""Asking the programs that the C++ tests are made of: lines in, lines of JSON out."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runtime.errors import FieldError, RuntimeFailure, UsageError

SECONDS = 300


def ask(program: Path, lines: Iterable[str], *arguments: str | Path) -> list[Any]:
    """Return what `program` says to each line."""
    text = ask_text(program, lines, *arguments)
    return [json.loads(line) for line in text]


def ask_text(program: Path, lines: Iterable[str], *arguments: str | Path) -> list[str]:
    """The same, where answers are no JSON."""
    asked = list(lines)
    assert all("\n" not in line for line in asked)
    done = subprocess.run(
        [program, *arguments],
        input="".join(f"{line}\n" for line in asked),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = done.stdout.splitlines()
    assert len(answers) == len(asked), done.stderr[-4000:]
    return answers


def refusal(failure: RuntimeFailure) -> dict[str, str]:
    """How such a program tells a failure."""
    kind = (
        UsageError if isinstance(failure, FieldError) else type(failure)
    )  # C++ does not tell the field apart
    return {"error": kind.__name__, "message": str(failure)}


def disagreements(
    asked: Sequence[Any], wanted: Sequence[Any], found: Sequence[Any]
) -> list[tuple[Any, Any, Any]]:
    """Where answers differ: (asked, wanted, found), a few of them."""
    return [three for three in zip(asked, wanted, found, strict=True) if three[1] != three[2]][:3]

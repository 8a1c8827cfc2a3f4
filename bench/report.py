"""The report that every benchmark writes: its environment, its command, its raw samples, and a table made of
them.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from runtime.cli.markdown import table
from runtime.files.publish import write_file
from runtime.machine import facts

RESULTS = Path(__file__).parent / "results"


@cache
def environment() -> dict[str, Any]:
    """Return the machine and software these numbers hold for."""
    return facts.environment()


def save(name: str, title: str, tables: Mapping[str, Sequence[Mapping[str, Any]]], samples: Any) -> None:
    """Write the report into bench/results, as `write` does, and print the tables."""
    print(write(name, title, tables, samples))


def write(
    name: str,
    title: str,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    samples: Any,
    pictures: Sequence[str] = (),
    folder: Path = RESULTS,
) -> str:
    """Write `<name>.json` with everything and `<name>.md` with the tables and `pictures`, files beside it,
    into `folder`. Returns the latter.
    """
    command = "python -m " + " ".join([f"bench.{name.partition('.')[0]}", *sys.argv[1:]])
    where = environment()
    body = {"environment": where, "command": command, "tables": tables, "samples": samples}
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / f"{name}.json", json.dumps(body, indent=1) + "\n")
    lines = [f"# {title}", "", f"`{command}`", "", *(f"- {k}: {v}" for k, v in where.items())]
    for heading, rows in tables.items():
        lines += [
            "",
            f"## {heading}",
            "",
            table(list(rows[0]), ([row[head] for head in rows[0]] for row in rows)),
        ]
    for picture in pictures:
        lines += ["", f"![{picture}]({picture})"]
    text = "\n".join(lines) + "\n"
    write_file(folder / f"{name}.md", text)
    return text


def spread(samples: Sequence[float]) -> str:
    """Return `median [lowest-highest]` in milliseconds or seconds, whichever reads better."""
    scale, unit = (1e3, "ms") if median(samples) < 1 else (1, "s")
    low, middle, high = (scale * x for x in (min(samples), median(samples), max(samples)))
    return f"{middle:.3g} [{low:.3g}-{high:.3g}] {unit}"

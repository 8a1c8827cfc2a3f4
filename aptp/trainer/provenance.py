"""The provenance of trained weights: the command, the source, recipes, time.

A checkpoint keeps it in `aptp.json`; a bare pipeline folder in a file of its own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aptp.trainer import metrics_log
from aptp.trainer.recipe import Recipe
from aptp.version import __version__
from runtime.errors import CheckpointError
from runtime.machine.facts import commit

NAME = "training.json"


def origin(command: str) -> dict[str, Any]:
    """`command` and the source it ran from; `commit` is None outside a git checkout."""
    return {"made_by": command, "aptp": __version__, "commit": commit()}


def account(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Account for the run kept in `folder`: its recipe, and the wall time of its steps over all sessions."""
    seconds = sum(line["seconds"] for line in metrics_log.read(folder))
    return {"recipe": recipe.identity(), "seconds": round(seconds, 1)}


def write(folder: Path, told: Mapping[str, Any]) -> None:
    (folder / NAME).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """Read what `write` left in `folder`; empty where nothing did. Raises CheckpointError."""
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; remove it to train without it") from error
    if not isinstance(told, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; remove it to train without it")
    return told

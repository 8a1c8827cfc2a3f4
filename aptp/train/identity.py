"""The identity of a run of stage 1: a state goes on only under the same one."""

import hashlib
from collections.abc import Mapping
from typing import Any

from aptp.train.pricing import unit
from aptp.train.run import Run
from runtime.errors import Refused, unusable
from runtime.files.source import digest_folder

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def identity(run: Run) -> Mapping[str, Any]:
    """Tell what makes the run itself, beside its recipe: the weights it starts from, above all.

    Raises `Refused`.
    """
    task = run.task
    try:
        entries = {part: digest_folder(task.source / part) for part in PARTS}
    except OSError as error:
        raise Refused(unusable(error)) from error
    lines = [f"{e.sha256} {part}/{name}\n" for part in PARTS for name, e in entries[part].items()]
    return {
        "stage": "train",
        "method": task.method.identity(),
        "data": run.seen.about,
        "size": list(run.size),
        "train_size": list(run.train_size),
        "source": hashlib.sha256("".join(lines).encode()).hexdigest(),
        **({"prompt_encoder": run.encoder.digest()} if run.encoder else {}),
        **({"cost": unit(task.cost)} if task.cost else {}),
    }

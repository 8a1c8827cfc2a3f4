"""Splits that a data set has by the names of its folders or shards, as Hugging Face's data sets do."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

TRAIN = ("train", "training")
TEST = ("test", "testing", "eval", "evaluation", "validation", "valid", "val", "dev")  # the first there is


def own_splits(labels: Iterable[str]) -> Mapping[str, str]:
    """Return which split the pictures under each label are of; empty where no label names a training split.

    Of several labels for a test split, such as `test` and `validation`, the first of `TEST` is used.
    """
    there = set(labels)
    found = {name: "train" for name in there if name.lower() in TRAIN}
    if found:
        ranked = sorted((TEST.index(name.lower()), name) for name in there if name.lower() in TEST)
        found |= {name: "test" for rank, name in ranked if rank == ranked[0][0]}
    return found


def folder_label(path: PurePosixPath) -> str:
    """Return the topmost folder of a path; empty for a file outside folders."""
    return path.parts[0] if len(path.parts) > 1 else ""


def shard_label(path: PurePosixPath) -> str:
    """Return what may name a shard's split: its topmost folder, or a word of its own name."""
    words = re.split(r"[-_.]", path.name)
    return next((word for word in (folder_label(path), *words) if word.lower() in (*TRAIN, *TEST)), "")

"""The codes that captions are routed to, and their mutual information with tiers."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from aptp.model.encoding import Encode
from aptp.model.router import Router

OTHER_BATCHES = (7, 64)  # sizes that routes must not depend on


def routes(router: Router, encode: Encode, captions: Sequence[str], batch: int = 1) -> list[int]:
    """Return the code of each caption. One at a time, as the runtime does it, unless `batch` says
    otherwise.
    """
    codes: list[int] = []
    for start in range(0, len(captions), batch):
        with torch.inference_mode():
            encoded = encode(captions[start : start + batch])
            codes += router.route(encoded.hidden.float().cpu(), encoded.mask.cpu()).tolist()
    return codes


def changed_by_batch(router: Router, encode: Encode, captions: Sequence[str], alone: Sequence[int]) -> int:
    """Return how many captions get another code than `alone` in batches of other sizes and orders."""
    order = np.random.default_rng(0).permutation(len(captions))
    changed = np.zeros(len(captions), bool)
    for batch in OTHER_BATCHES:
        shuffled = routes(router, encode, [captions[i] for i in order], batch)
        changed[order] |= np.asarray(shuffled) != np.asarray(alone)[order]
    return int(changed.sum())


def crossed(codes: Sequence[int], groups: Sequence[str], count: int) -> dict[str, list[int]]:
    """Return how many of each group's captions went to each of `count` codes."""
    table = {group: [0] * count for group in dict.fromkeys(groups)}
    for code, group in zip(codes, groups, strict=True):
        table[group][code] += 1
    return table


def mutual_information(table: npt.ArrayLike) -> float:
    """Return the mutual information of rows and columns of counts, in bits: 0 if neither tells anything of
    the other.
    """
    joint = np.asarray(table, np.float64)
    joint = joint / joint.sum()
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / apart[there])).sum())


def chance_information(table: npt.ArrayLike) -> float:
    """Return what `mutual_information` comes to, in bits, of rows and columns that are independent and this
    few.

    (rows − 1)(columns − 1) / 2N ln 2 (Miller 1955), over rows and columns that occur.
    """
    counts = np.asarray(table)
    rows, columns = (int((counts.sum(axis) > 0).sum()) for axis in (1, 0))
    return (rows - 1) * (columns - 1) / (2 * float(counts.sum()) * math.log(2))

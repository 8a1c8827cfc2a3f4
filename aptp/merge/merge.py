"""Merging of checkpoints whose experts were tuned in several runs, on several machines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import Record
from aptp.checkpoint.writer import gather_experts
from aptp.trainer import provenance
from runtime.errors import CheckpointError, UsageError


def merge(checkpoints: Sequence[Checkpoint], out: Path) -> list[int]:
    """Write to `out` a checkpoint with the tuned experts of all `checkpoints`; return the codes that none of
    them tuned.

    All have to come from the same checkpoint, and each code from one of them at most. The provenance of each
    is kept. Raises UsageError for checkpoints that cannot be merged, CheckpointError and IntegrityError for
    broken ones, StorageError.
    """
    check_target(out)
    if len(checkpoints) < 2:
        raise UsageError("there is nothing to merge: name two checkpoints or more")
    first, *_ = runs = [_tuned(checkpoint) for checkpoint in checkpoints]
    donors: dict[int, Checkpoint] = {}
    for checkpoint, run in zip(checkpoints, runs, strict=True):
        if run["from"]["digest"] != first["from"]["digest"]:
            raise UsageError(
                f"{checkpoint.path} was tuned from checkpoint {run['from']['digest'][:12]}, and "
                f"{checkpoints[0].path} from {first['from']['digest'][:12]}: merge runs of the same one"
            )
        for code in run["codes"]:
            if code in donors:
                raise UsageError(
                    f"code {code} is tuned in {donors[code].path} and in {checkpoint.path}; name one of them"
                )
            donors[code] = checkpoint
    _check_rest(checkpoints, donors)
    told = {
        **provenance.origin("aptp.merge"),
        "codes": sorted(donors),
        "from": first["from"],
        "runs": [{name: value for name, value in run.items() if name != "from"} for run in runs],
    }
    gather_experts(checkpoints[0], out, donors, told)
    return [code for code in range(len(checkpoints[0].record.codes)) if code not in donors]


def _tuned(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return what the checkpoint's provenance says of its tuning."""
    told = checkpoint.record.provenance
    origin, codes = told.get("from"), told.get("codes")
    known = range(len(checkpoint.record.codes))
    if (
        not isinstance(origin, Mapping)
        or not isinstance(origin.get("digest"), str)
        or not isinstance(codes, Sequence)
        or not all(code in known for code in codes)
    ):
        raise UsageError(
            f"{checkpoint.path} does not say which of its codes were tuned, and from which checkpoint: merge "
            "what aptp.finetune made"
        )
    return told


def _check_rest(checkpoints: Sequence[Checkpoint], donors: Mapping[int, Checkpoint]) -> None:
    """Check that checkpoints differ in nothing but their tuned experts."""
    tuned = tuple(f"experts/{code}/" for code in donors)
    first, *others = checkpoints
    for other in others:
        files = [
            {name: entry for name, entry in each.record.files.items() if not name.startswith(tuned)}
            for each in (first, other)
        ]
        differing = sorted(
            name for name in files[0].keys() | files[1].keys() if files[0].get(name) != files[1].get(name)
        )
        if differing or _bare(first.record) != _bare(other.record):
            raise CheckpointError(
                f"{first.path} and {other.path} differ in more than their tuned experts: "
                f"{', '.join(differing[:3]) or 'aptp.json'}; merge what aptp.finetune made of one checkpoint"
            )


def _bare(record: Record) -> Record:
    return replace(record, files={}, provenance={}, trained=True)

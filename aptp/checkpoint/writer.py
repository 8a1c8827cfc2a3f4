"""Writing a checkpoint folder: a pipeline, codes, a router and the experts, published whole or not at all."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from aptp.checkpoint.ood_file import NAME as DETECTOR
from aptp.checkpoint.ood_file import write_detector
from aptp.checkpoint.publishing import published
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import (
    PROMPT_ENCODER,
    TEXT_ENCODER,
    CodeRecord,
    OutOfDistributionRule,
    Record,
    digest,
    parse,
)
from aptp.checkpoint.router_file import write_router
from aptp.components import scheduler
from aptp.model.mahalanobis import MahalanobisDetector
from aptp.model.prompt_encoder import PromptEncoder
from aptp.model.router import Router
from aptp.model.sliced import SlicedUNet, slice_unet
from aptp.space.architecture import Architecture
from runtime.files.verified import list_files


def write_checkpoint(
    out: Path,
    record: Record,
    pipeline: DiffusionPipeline,
    codes: Sequence[tuple[float, Architecture]],
    router: Router,
    *,
    prompt_encoder: PromptEncoder | None = None,
    expert: Callable[[int], SlicedUNet] | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> None:
    """Publish a checkpoint at `out`, which must not exist or be empty.

    `codes` are (budget, architecture) pairs; `prompt_encoder` is what the router reads, by default the
    pipeline's text encoder; `expert` gives the fine-tuned UNet of a code, by default a slice of the dense
    one. `record` needs neither codes nor files nor the kind of router and encoder: they are filled in here.
    `progress` is told the name of each stage as it begins.
    """
    with published(out) as draft:
        progress("pipeline")
        pipeline.save_pretrained(draft, safe_serialization=True)
        _store_scheduler(draft / "scheduler", pipeline.scheduler)
        progress("router")
        if prompt_encoder:
            prompt_encoder.save(draft / PROMPT_ENCODER)
        write_router(router, draft)
        for i, (_, architecture) in enumerate(codes):
            progress(f"expert {i}")
            unet = expert(i) if expert else slice_unet(pipeline.unet, architecture)
            unet.save_pretrained(draft / "experts" / str(i), safe_serialization=True)
            del unet
        progress("index")
        listed = tuple(CodeRecord(budget, **architecture.to_json()) for budget, architecture in codes)
        routed_by = PROMPT_ENCODER if prompt_encoder else TEXT_ENCODER
        made = replace(record, codes=listed, router=router.kind, prompt_encoder=routed_by)
        _write_index(draft, made)


def rewrite_experts(
    checkpoint: Checkpoint, out: Path, experts: Mapping[int, SlicedUNet], provenance: Mapping[str, Any]
) -> None:
    """Publish at `out` the same checkpoint with other weights for some `experts`, by code.

    They are stored in the dtype they have. Everything else is copied byte for byte.
    """
    checkpoint.verify()
    with published(out) as draft:
        _copy(checkpoint, draft, tuple(f"experts/{code}/" for code in experts))
        for code, unet in experts.items():
            unet.save_pretrained(draft / "experts" / str(code), safe_serialization=True)
        _write_index(draft, replace(checkpoint.record, trained=True, provenance=provenance))


def gather_experts(
    checkpoint: Checkpoint, out: Path, donors: Mapping[int, Checkpoint], provenance: Mapping[str, Any]
) -> None:
    """Publish at `out` the same checkpoint with the experts of others: `donors`, by code. All of it is copied
    byte for byte.
    """
    with published(out) as draft:
        checkpoint.verify()
        _copy(checkpoint, draft, tuple(f"experts/{code}/" for code in donors))
        for code, donor in donors.items():
            donor.verify(f"experts/{code}")
            _copy(donor, draft, within=f"experts/{code}/")
        _write_index(draft, replace(checkpoint.record, trained=True, provenance=provenance))


def write_guarded(
    checkpoint: Checkpoint,
    out: Path,
    detector: MahalanobisDetector,
    rule: OutOfDistributionRule,
    provenance: Mapping[str, Any],
) -> None:
    """Publish at `out` the same checkpoint, which sends prompts away that `detector` finds above the
    threshold of `rule`. Everything else is copied byte for byte.
    """
    checkpoint.verify()
    with published(out) as draft:
        _copy(checkpoint, draft, (DETECTOR,))
        write_detector(detector, draft)
        _write_index(draft, replace(checkpoint.record, out_of_distribution=rule, provenance=provenance))


def _copy(checkpoint: Checkpoint, draft: Path, without: tuple[str, ...] = (), within: str = "") -> None:
    for name in checkpoint.record.files:
        if name.startswith(within) and not name.startswith(without):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkpoint.path / name, draft / name)


def _store_scheduler(folder: Path, made: Any) -> None:
    """Store what the pipeline's folder said of its scheduler, without the defaults of its class, which other
    schedulers made from it would take for its word.
    """
    (folder / scheduler.FILE).write_text(json.dumps(scheduler.said(made), indent=2, sort_keys=True) + "\n")


def _write_index(draft: Path, record: Record) -> None:
    _forget_origin(draft)
    index = replace(record, files=list_files(draft)).to_json()
    parse(index)  # what cannot be read again, such as a seed beyond 2^53, is refused before it is published
    (draft / "aptp.json").write_bytes(index)
    (draft / "aptp.sha256").write_text(digest(index))


def _forget_origin(draft: Path) -> None:
    """Take out of every config the folder it was loaded from: the same weights make the same files."""
    for path in [draft / "model_index.json", *draft.rglob("config.json")]:
        config = json.loads(path.read_bytes())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def untrained_router(
    encode: Callable[[str], tuple[torch.Tensor, torch.Tensor]],
    prompts: Sequence[str],
    architectures: Sequence[Architecture],
    generator: torch.Generator,
) -> Router:
    """Return a random router that spreads prompts over all codes: centred on `prompts`, so that no code wins
    by default.

    `encode` gives a prompt's embedding [1, T, E] and mask [1, T].
    """
    pooled = []
    for prompt in prompts:
        embedding, mask = encode(prompt)
        weights = mask.unsqueeze(-1).to(torch.float32)
        pooled.append((embedding.float() * weights).sum(1) / weights.sum(1))
    centre = torch.cat(pooled).mean(0)  # [E]
    keep = torch.stack([torch.from_numpy(a.keep).float() for a in architectures])  # [K, D]
    router = Router(centre.numel(), keep.shape[1], len(architectures))
    with torch.no_grad():
        router.predictor.weight.normal_(std=centre.numel() ** -0.5, generator=generator)
        router.predictor.bias.copy_(-router.predictor.weight @ centre)
        router.codes.copy_(keep - keep.mean(0))
    return router.eval()

"""The conversion of the authors' folder to a checkpoint: codes, router, experts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.record import Record
from aptp.checkpoint.writer import write_checkpoint
from aptp.convert import layout, published
from aptp.convert.experts import PublishedExpert
from aptp.convert.published import Published
from aptp.convert.weights import read_weights
from aptp.model.gated_router import GatedRouter, published_noise
from aptp.model.prompt_encoder import PromptEncoder, read_prompt_encoder
from aptp.model.sliced import SlicedUNet, sliced_from
from aptp.pipeline import image_size, read_pipeline
from aptp.space.architecture import THRESHOLD, Architecture
from aptp.space.cost import mac_cost
from aptp.space.groups import Space
from aptp.version import __version__
from runtime.errors import CheckpointError, SpaceError, UsageError, nearest
from runtime.files.source import digest_source

NOISE_FREE, ROW_0 = "noise-free", "row-0"
ROUTINGS = (NOISE_FREE, ROW_0)


@dataclass(frozen=True, slots=True)
class ConversionSource:
    """The folders to convert: `root`, the authors' folder; `pipeline`, the diffusers folder that its experts
    were cut from; `prompt_encoder`, the transformers folder that its predictor reads. `routing`: without
    noise, or with the sample that the published evaluation adds to a prompt that comes alone.
    """

    root: Path
    pipeline: Path
    prompt_encoder: Path
    routing: str = NOISE_FREE

    def __post_init__(self) -> None:
        if self.routing not in ROUTINGS:
            known = " and ".join(ROUTINGS)
            hint = nearest(self.routing, ROUTINGS)
            raise UsageError(f"--routing: no '{self.routing}'; there is {known}{hint}")


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted expert: its `folder`, its `cost` as a share of dense, whether its weights were `full`, and
    their `likeness` to the pipeline's.
    """

    folder: str
    cost: float
    full: bool
    likeness: float


def convert(
    source: ConversionSource, out: Path, progress: Callable[[str], None] = lambda stage: None
) -> list[Converted]:
    """Write the checkpoint to `out`, and return what became of each code. Raises UsageError, CheckpointError
    and StorageError.
    """
    check_target(out)
    progress("published folder")
    found = published.read(source.root)
    progress("pipeline")
    pipeline = _pipeline(source.pipeline)
    space = layout.space_of(pipeline.unet, found.structure)
    architectures = [_architecture(source.root, space, expert) for expert in found.experts]
    progress("prompt encoder")
    encoder = read_prompt_encoder(source.prompt_encoder)
    router = gated_router(found, space, source.routing)
    _check_width(source, encoder, router)
    size, shares = _budgets(pipeline, space, architectures)
    made: list[Converted] = []
    dense = pipeline.unet.state_dict()

    def expert(code: int) -> SlicedUNet:
        one = found.experts[code]
        weights = read_weights(one.weights, architectures[code], dense)
        made.append(Converted(one.name, shares[code], weights.full, weights.likeness))
        return sliced_from(pipeline.unet.config, architectures[code], weights.state)

    record = _record(source, found, space, size)
    codes = list(zip(shares, architectures, strict=True))
    write_checkpoint(
        out, record, pipeline, codes, router, prompt_encoder=encoder, expert=expert, progress=progress
    )
    return made


def gated_router(found: Published, space: Space, routing: str) -> GatedRouter:
    """Return the published rule, with its noise made constant: none, or what it adds to row 0 of a batch."""
    router = GatedRouter(found.weight.shape[1], space, len(found.gates))
    with torch.no_grad():
        router.predictor.weight.copy_(found.weight)
        router.predictor.bias.copy_(found.bias)
        router.codes.copy_(router.weighed(found.gates))
    router.ranks.copy_(torch.tensor(found.order, dtype=torch.int64).argsort())
    router.temperature.fill_(found.temperature)
    router.offset.fill_(found.offset)
    if routing == ROW_0:
        router.noise.copy_(published_noise(space)[0])
    return router.eval()


def _architecture(root: Path, space: Space, expert: PublishedExpert) -> Architecture:
    try:
        return Architecture(space, (expert.vector >= THRESHOLD).numpy())
    except SpaceError as error:
        raise CheckpointError(f"{root}/{expert.name}: {error}") from error


def _pipeline(folder: Path) -> DiffusionPipeline:
    pipeline = read_pipeline(folder, None)
    if not isinstance(pipeline, StableDiffusionPipeline):
        raise CheckpointError(
            f"{folder} is a {type(pipeline).__name__}; the published experts are Stable Diffusion's"
        )
    return pipeline


def _check_width(source: ConversionSource, encoder: PromptEncoder, router: GatedRouter) -> None:
    wanted = router.predictor.in_features
    if encoder.width != wanted:
        raise CheckpointError(
            f"{source.prompt_encoder} gives embeddings of {encoder.width}; the predictor in {source.root} "
            f"reads {wanted}: give the encoder it was trained with (all-mpnet-base-v2 has 768)"
        )


def _budgets(
    pipeline: DiffusionPipeline, space: Space, architectures: list[Architecture]
) -> tuple[tuple[int, int], list[float]]:
    """Return the pipeline's own size in pixels, and what each code costs there as a share of dense."""
    size, scale = image_size(pipeline), pipeline.vae_scale_factor
    tokens = int(pipeline.tokenizer.model_max_length)
    cost = mac_cost(dict(pipeline.unet.config), space, size[0] // scale, size[1] // scale, tokens)
    return size, [cost.of(code) / cost.dense for code in architectures]


def _record(source: ConversionSource, found: Published, space: Space, size: tuple[int, int]) -> Record:
    told: dict[str, Any] = {
        "made_by": "aptp.convert",
        "aptp": __version__,
        "codes": "published",
        "routing": source.routing,
        "experts": [expert.name for expert in found.experts],
        "files": {name: digest_source(source.root / name).sha256 for name in published.FILES},
    }
    return Record(
        name=source.root.resolve().name,
        trained=True,
        size=size,
        depth=tuple(gate.module for gate in space.depths),
        feed_forward_gates=space.feed_forward_gates,
        codes=(),
        provenance=told,
    )

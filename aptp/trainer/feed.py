"""The feed of a training run: its samples, and what makes inputs of them. A cache takes the place of both."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from aptp.data.cache.form import check_identity
from aptp.data.cache.source import CachedSource, finished_plan
from aptp.data.sample import NamedSource
from aptp.model.digest import text_encoder_digest, tokenizer_digest, vae_digest
from aptp.trainer.inputs import CachedInputs, EncodedInputs, Inputs

REMEDY = "Give the cache of this run, or make one with python -m aptp.encode in another folder"


@dataclass(frozen=True, slots=True)
class Feed:
    """Samples for `inputs`. `identity`: what a run's identity says of them, beside their source."""

    source: NamedSource
    inputs: Inputs
    identity: Mapping[str, Any] = field(default_factory=dict)


def open_feed(
    pipeline: DiffusionPipeline,
    source: NamedSource,
    *,
    size: tuple[int, int],
    precision: str,
    seed: int,
    cache: Path | None = None,
    pictures: bool = False,
    at_once: int | None = None,
) -> Feed:
    """Return the feed of a run: pictures of `source`, or in their place a finished `cache` of it.

    `size`, (height, width) in pixels, and `precision` of autocast are the run's. `pictures`: whether batches
    of pictures are to be read beside the cache. `at_once`: pictures that the VAE takes at a time. Raises
    UsageError for a cache of something else, DataError for one that is not finished, IntegrityError for a
    damaged one.
    """
    if cache is None:
        return Feed(source, EncodedInputs(pipeline, at_once))
    plan = finished_plan(cache)
    check_identity(cache, plan.identity, encodings_identity(pipeline, source, size, precision), REMEDY)
    cached = CachedSource(cache, plan, seed)
    digest = hashlib.sha256(json.dumps(plan.identity, sort_keys=True).encode()).hexdigest()
    inputs = CachedInputs(pipeline, cached.empty, pictures=pictures, at_once=at_once)
    return Feed(cached, inputs, {"latents": digest})


def encodings_identity(
    pipeline: DiffusionPipeline, source: NamedSource, size: tuple[int, int], precision: str
) -> dict[str, Any]:
    """Tell what decides the encodings of a source's samples, as JSON."""
    return {
        "vae": vae_digest(pipeline.vae),
        "tokenizer": tokenizer_digest(pipeline.tokenizer),
        "text_encoder": text_encoder_digest(pipeline.text_encoder),
        "data": json.loads(json.dumps(source.about)),
        "size": list(size),
        "precision": precision,
    }

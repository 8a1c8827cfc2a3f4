"""Make each kind of part: from the checkpoint to files in a folder, parity shown on the way.

`make` runs in a process of its own (`export.build.workers`); a part that fails any check raises, and is never
staged.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import PROMPT_ENCODER
from aptp.model.mahalanobis import GuardedRouter
from export.build import layout, part_store
from export.build.part_store import PartRecord
from export.build.plan import OPENVINO, BuildSpec, Part
from export.engines import aoti, calibration, int8, manifest_entry, supernet
from export.engines.oracle import Oracle
from export.engines.tensorrt import engine
from export.engines.tensorrt.builder_cache import BuilderCache
from export.graphs import clock, expert, graph, weights
from export.graphs.expert import ExpertGraph
from export.graphs.graph import Signature
from export.parity import ladder
from export.tables import preview_projection, solvers, unicode_tables
from runtime.bundle.compiled import SUPERNET
from runtime.bundle.earned import INT8
from runtime.files import publish
from runtime.formats import DENSE
from runtime.models.cache import Cache

Report = Callable[[str, float], None]


@dataclass(slots=True)
class Made:
    """The results of a part besides files: `facts` go into the manifest, `measures` into the report."""

    facts: dict[str, Any]
    measures: dict[str, float]


@dataclass(frozen=True, slots=True)
class PartJob:
    """A part being made: `folder` becomes part of the bundle, `report` says (stage, share done)."""

    part: Part
    spec: BuildSpec
    folder: Path
    report: Report
    source: Path | None = None  # the files of the part that it needs

    def place(self, name: str) -> Path:
        """Make a folder of the bundle and return it."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path


def stage(argument: tuple[Part, BuildSpec, Path | None], report: Report) -> PartRecord:
    """Make a part and stage it whole, or not at all; return its record. The path is `PartJob.source`."""
    part, spec, source = argument
    start = time.monotonic()
    place = layout.stage_folder(spec.out, part.key)
    with publish.disk_space(place, part.disk), publish.publishing(place) as folder:
        made = make(PartJob(part, spec, folder, report, source))
        report("hash", 0.95)
        files = part_store.describe(folder)
        seconds = time.monotonic() - start
        record = PartRecord(part.name, part.key, part.shown_on, seconds, files, made.facts, made.measures)
        part_store.finish(folder, record)
    return record


def make(job: PartJob) -> Made:
    """Make one part. Raises whatever keeps it from being published."""
    makers: dict[str, Callable[[PartJob, Checkpoint], Made]] = {
        "expert": _expert,
        "encoder": _encoder,
        "prompt_encoder": _prompt_encoder,
        "decoder": _decoder,
        "router": _router,
        "tokenizer": _tokenizer,
        "schedule": _schedule,
        OPENVINO: _openvino,
        INT8: _int8,
        "aoti": _aoti,
        "tensorrt": _tensorrt,
        SUPERNET: _supernet,
    }
    job.report("open", 0.0)
    return makers[job.part.kind](job, Checkpoint.open(job.spec.checkpoint))


def _expert(job: PartJob, checkpoint: Checkpoint) -> Made:
    name = job.part.item
    job.report("load", 0.02)
    unet = checkpoint.expert(name)
    weights.round_to_half(unet)
    signature = _signature(checkpoint)
    feeds = [_timed(feed) for feed in ladder.cases(signature, {})]
    wanted = ladder.outputs(ExpertGraph(unet).eval(), feeds)
    measures = {}
    if name != DENSE:
        job.report("masked = sliced", 0.05)
        dense, code = checkpoint.dense(), checkpoint.architectures[int(name)]
        measures["masked"] = ladder.masked_equals_sliced(unet, dense, code, feeds, wanted)
        del dense
    facts = {"parameters": sum(p.numel() for p in unet.parameters()), "macs": _macs(checkpoint, name)}
    folder = job.place(f"experts/{name}/unet")
    job.report("export", 0.2)
    expert.write_expert(unet, signature, folder)
    del unet
    measures["onnx"] = _equals(job, folder, signature, feeds, wanted)
    return Made(facts, measures)


def _openvino(job: PartJob, checkpoint: Checkpoint) -> Made:
    """Show what OpenVINO may compute an expert in on this class of processor; make no file."""
    job.report("load", 0.02)
    assert job.source is not None, "it is shown on its expert's graphs"
    facts = dict(job.part.facts)
    precision = facts["precision"]
    module = _rounded(checkpoint, job.part.item)
    feeds = [_timed(feed) for feed in ladder.cases(_signature(checkpoint), {})]
    wanted = ladder.outputs(module, feeds)
    autocast = 0.0
    if precision != "float32":
        job.report("autocast", 0.15)
        autocast = ladder.autocast_error(module, feeds, wanted, precision)
    del module
    job.report("engine beside autocast", 0.5)
    # Beside them lie, for as long as this runs, float32 weights, which a published bundle is no place for.
    with TemporaryDirectory(prefix=".openvino-", suffix=".tmp", dir=job.folder) as scratch:
        folder = Path(scratch)
        for file in (job.source / f"experts/{job.part.item}/unet").iterdir():
            publish.place(file, folder / file.name)
        error, facts["passed"] = ladder.openvino_beside_autocast(
            folder, "out_sample", feeds, wanted, precision, autocast, job.spec.threads
        )
    measures = {"engine": error, **({"autocast": autocast} if autocast else {})}
    return Made(facts, measures)


def _int8(job: PartJob, checkpoint: Checkpoint) -> Made:
    """Quantize an expert; its error is measured on prompts that it was not quantized on."""
    job.report("load", 0.02)
    assert job.source is not None, "it is quantized from its expert's graphs"
    module, name = _rounded(checkpoint, job.part.item), f"experts/{job.part.item}/unet"
    job.report("draw", 0.05)
    with torch.inference_mode():
        feeds = calibration.trajectories(checkpoint, module.unet, job.spec.calibration)
    shown = feeds[-calibration.MEASURED * calibration.STEPS :]
    wanted = ladder.outputs(module, shown)
    taken = clock.take_out(module.unet)
    given = [{key: one.numpy() for key, one in taken.fed(feed).items()} for feed in feeds]
    del module
    job.report("quantize", 0.3)
    folder = job.place(name)
    with TemporaryDirectory(prefix=".int8-", suffix=".tmp", dir=job.folder) as scratch:
        serving = Path(scratch) / weights.SERVE
        publish.place(job.source / name / weights.SERVE, serving)
        weights.widen(job.source / name / weights.WEIGHTS, serving.with_name(weights.SERVE_WEIGHTS))
        kept = int8.write(serving, given[: -len(shown)], folder)
    job.report("error", 0.9)
    error = int8.error(folder / int8.GRAPH, given[-len(shown) :], wanted, job.spec.threads)
    int8.record(folder, job.spec.calibration, kept)
    return Made({}, {"int8": error})


def _aoti(job: PartJob, checkpoint: Checkpoint) -> Made:
    job.report("load", 0.02)
    wanted = manifest_entry.wanted("aoti", checkpoint.latent_size, job.spec.precision)
    oracle = _oracle(checkpoint, job.part.item, wanted)
    job.report("compile", 0.1)
    path = job.place(f"experts/{job.part.item}/unet") / aoti.FILE
    aoti.write_package(oracle.serving, oracle.feeds[-1], wanted, path)
    job.report("engine beside autocast", 0.9)
    error = ladder.compiled_beside_autocast(
        path, wanted, oracle.feeds, oracle.outputs, oracle.autocast, job.spec.threads
    )
    return Made(wanted, {"engine": error, "autocast": oracle.autocast})


def _tensorrt(job: PartJob, checkpoint: Checkpoint) -> Made:
    job.report("load", 0.02)
    assert job.source is not None, "a plan is built from its expert's graphs"
    wanted = manifest_entry.wanted("tensorrt", checkpoint.latent_size, job.spec.precision)
    oracle = _oracle(checkpoint, job.part.item, wanted)
    unet = f"experts/{job.part.item}/unet"
    cache = Cache(job.spec.cache, group_writable=job.spec.cache_group_writable)
    build_cache = BuilderCache(cache.root, wanted["target"])
    path = job.place(unet) / engine.FILE
    measures = engine.write(
        job.source / unet, path, wanted, oracle, build_cache, job.spec.threads, job.report
    )
    return Made(wanted, measures)


def _supernet(job: PartJob, checkpoint: Checkpoint) -> Made:
    wanted = manifest_entry.wanted(SUPERNET, checkpoint.latent_size, job.spec.precision)
    calls, autocast = [], {}
    for name in job.spec.codes:
        job.report(f"load expert {name}", 0.02)
        oracle = _oracle(checkpoint, name, wanted)
        autocast[name] = oracle.autocast
        code = checkpoint.architecture(name)
        cases = zip(oracle.feeds, oracle.outputs, strict=True)
        calls.append([supernet.alone(name, code, *case) for case in cases])
        del oracle
    job.report("compile", 0.1)
    path = job.place(supernet.FOLDER) / aoti.FILE
    aoti.write_package(supernet.gated(checkpoint), calls[0][-1].feed, wanted, path)
    job.report("engine beside autocast", 0.9)
    most = wanted["profile"]["batch"][-1]
    shown = [call for own in calls for call in own]
    shown.append(supernet.mixed([own[0] for own in calls[:most]]))
    error = supernet.rows_beside_autocast(path, wanted, shown, autocast, job.spec.threads)
    return Made(wanted, {"engine": error, "autocast": max(autocast.values())})


def _oracle(checkpoint: Checkpoint, name: str, wanted: Mapping[str, Any]) -> Oracle:
    """Return an expert with its weights rounded, its clock taken out, and what it gives for a profile's
    cases.

    The error of autocast is that of all of it, clock included, in the precision that is wanted.
    """
    module, feeds = _rounded(checkpoint, name), _profile_cases(checkpoint, wanted["profile"])
    outputs = ladder.outputs(module, feeds)
    exact = wanted["precision"] == "float32"
    autocast = 0.0 if exact else ladder.autocast_error(module, feeds, outputs, wanted["precision"])
    taken = clock.take_out(module.unet)
    _, signature = expert.signatures(_signature(checkpoint), taken)
    serving = expert.ServingGraph(module.unet).eval()
    return Oracle(serving, signature, [taken.fed(feed) for feed in feeds], outputs, autocast)


def _rounded(checkpoint: Checkpoint, name: str) -> ExpertGraph:
    unet = checkpoint.expert(name)
    weights.round_to_half(unet)
    return ExpertGraph(unet).eval()


def _profile_cases(checkpoint: Checkpoint, profile: Mapping[str, list[int]]) -> list[ladder.Feed]:
    """Return inputs at the least and at the usual batch of a profile, at its usual size."""
    signature = _signature(checkpoint)
    sides = {axis: profile[axis][1] for axis in ("height", "width")}
    return [
        _timed(ladder.case(signature, {**sides, "batch": rows}, seed=rows))
        for rows in dict.fromkeys(profile["batch"][:2])
    ]


def _signature(checkpoint: Checkpoint) -> Signature:
    config = checkpoint.unet_config
    length, width = checkpoint.tokenizer["length"], config["cross_attention_dim"]
    return expert.expert_signature(config["in_channels"], checkpoint.latent_multiple, length, width)


def _timed(feed: ladder.Feed) -> ladder.Feed:
    """Return the case with timesteps in the training range, each sample at its own."""
    return {**feed, "timestep": torch.linspace(37.5, 961.0, len(feed["timestep"]) + 1)[1:]}


def _macs(checkpoint: Checkpoint, name: str) -> int:
    cost = checkpoint.cost()
    return int(cost.dense if name == DENSE else cost.of(checkpoint.architectures[int(name)]))


def _encoder(job: PartJob, checkpoint: Checkpoint) -> Made:
    job.report("load", 0.05)
    encoder = checkpoint.text_encoder()
    weights.round_to_half(encoder)
    ids = torch.zeros(1, checkpoint.tokenizer["length"], dtype=torch.int64)
    signature = Signature({"input_ids": ids}, "last_hidden_state")
    return _shared(job, graph.EncoderGraph(encoder), signature, {"input_ids": encoder.config.vocab_size})


def _prompt_encoder(job: PartJob, checkpoint: Checkpoint) -> Made:
    """Make the encoder that the router alone reads, its tokenizer beside it."""
    job.report("load", 0.05)
    encoder = checkpoint.prompt_encoder()
    assert encoder is not None, "the plan names it"
    weights.round_to_half(encoder)
    ids = torch.zeros(1, encoder.frame["length"], dtype=torch.int64)
    # Two tensors: of one that is given twice, the exporter makes one input.
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    signature = Signature(inputs, "last_hidden_state")
    largest = {"input_ids": int(encoder.model.config.vocab_size), "attention_mask": 2}
    made = _shared(job, graph.PromptEncoderGraph(encoder.model), signature, largest)
    tokenizer = checkpoint.tokenizer_file(PROMPT_ENCODER)
    shutil.copyfile(tokenizer, job.folder / job.part.name / "tokenizer.json")
    return Made(dict(encoder.frame), made.measures)


def _decoder(job: PartJob, checkpoint: Checkpoint) -> Made:
    job.report("load", 0.05)
    vae = checkpoint.vae().eval()
    job.report("colours", 0.1)
    shown = preview_projection.encoded(vae, checkpoint.vae_scale)
    # A bundle only decodes.
    del vae.encoder, vae.quant_conv
    weights.round_to_half(vae)
    found = preview_projection.fit(vae, shown)
    signature = graph.decoder_signature(vae.config.latent_channels, checkpoint.latent_multiple)
    made = _shared(job, graph.DecoderGraph(vae), signature, {})
    return Made({"preview": found.rows}, {**made.measures, "colours explained": found.explained})


def _router(job: PartJob, checkpoint: Checkpoint) -> Made:
    job.report("load", 0.05)
    router = checkpoint.router()
    length = checkpoint.routed_frame["length"]
    # The router keeps float32: it is small, and a rounded code could move a prompt to another expert.
    inputs = {
        "embedding": torch.zeros(1, length, router.predictor.in_features),
        "attention_mask": torch.ones(1, length, dtype=torch.int64),
    }
    signature = Signature(inputs, "similarity")
    detector = checkpoint.detector()
    if detector is None:
        return _shared(job, router, signature, {"attention_mask": 2}, inline=True)
    # One graph with two outputs, each of which has to be what its own module gives.
    feeds = ladder.cases(signature, {"attention_mask": 2})
    folder = job.place(job.part.name)
    both = replace(signature, others=("distance",))
    guarded = GuardedRouter(router, detector)
    measures = _graph(job, guarded, both, folder, feeds, ladder.outputs(router, feeds), inline=True)
    wanted, distance = ladder.outputs(detector, feeds), replace(signature, output="distance")
    error = ladder.graph_equals_module(folder, distance, feeds, wanted, job.spec.threads)
    return Made({}, {**measures, "distance": error})


def _shared(
    job: PartJob, module: nn.Module, signature: Signature, largest: dict[str, int], inline: bool = False
) -> Made:
    feeds = ladder.cases(signature, largest)
    wanted = ladder.outputs(module.eval(), feeds)
    folder = job.place(job.part.name)
    return Made({}, _graph(job, module, signature, folder, feeds, wanted, inline))


def _graph(
    job: PartJob,
    module: nn.Module,
    signature: Signature,
    folder: Path,
    feeds: list[ladder.Feed],
    wanted: list[ladder.Array],
    inline: bool = False,
) -> dict[str, float]:
    job.report("export", 0.2)
    graph.write_graph(module, signature, folder, inline=inline)
    return {"onnx": _equals(job, folder, signature, feeds, wanted)}


def _equals(
    job: PartJob, folder: Path, signature: Signature, feeds: list[ladder.Feed], wanted: list[ladder.Array]
) -> float:
    job.report("ONNX = PyTorch", 0.7)
    return ladder.graph_equals_module(folder, signature, feeds, wanted, job.spec.threads)


def _tokenizer(job: PartJob, checkpoint: Checkpoint) -> Made:
    folder = job.place("tokenizer")
    shutil.copyfile(checkpoint.tokenizer_file(), folder / "tokenizer.json")
    job.report("characters", 0.1)
    (folder / "characters.json").write_bytes(unicode_tables.table())
    return Made(dict(checkpoint.tokenizer), {})


def _schedule(job: PartJob, checkpoint: Checkpoint) -> Made:
    job.report("probe", 0.1)
    table = solvers.probe(job.part.item, checkpoint.scheduler_config())
    folder = job.place("schedules")
    (folder / f"{table.solver}.bin").write_bytes(table.bytes())
    facts = {"window": table.window, "rows": list(table.rows), "noise_scale": list(table.noise_scale)}
    return Made(facts, {"largest coefficient": float(np.abs(table.data[:, 2:-2]).max())})

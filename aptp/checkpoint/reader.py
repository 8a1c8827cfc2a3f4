"""Open a checkpoint folder: every file is hashed before anything parses it, and weights must fit their
codes.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from aptp.checkpoint import record as records
from aptp.checkpoint import router_file
from aptp.checkpoint.ood_file import NAME as DETECTOR
from aptp.checkpoint.ood_file import read_detector
from aptp.checkpoint.record import PROMPT_ENCODER, TEXT_ENCODER, Record
from aptp.checkpoint.router_file import read_router
from aptp.components import scheduler
from aptp.components.boundary import reading
from aptp.components.clip_tokenizer import read_clip_tokenizer
from aptp.components.networks import read_network
from aptp.components.servable import ComponentConfigs, check_servable, vae_scale
from aptp.model.mahalanobis import MahalanobisDetector
from aptp.model.prompt_encoder import PromptEncoder, frame_of, read_prompt_encoder, read_tokenizer
from aptp.model.router import Router
from aptp.model.sliced import SlicedUNet, config_of
from aptp.model.slicer import check_shapes
from aptp.space.architecture import Architecture, full
from aptp.space.cost import LinearCost, mac_cost
from aptp.space.discover import discover
from aptp.space.groups import Space
from aptp.space.unet_config import latent_multiple
from runtime.errors import CheckpointError, IntegrityError, SpaceError, nearest
from runtime.files.strict_json import BYTES
from runtime.files.verified import FileEntry, VerifiedFiles, open_beneath
from runtime.formats import DENSE

WEIGHTS = "diffusion_pytorch_model.safetensors"
REMEDY = "restore the checkpoint or make it again"


class Checkpoint:
    """A verified view of a checkpoint folder (docs/CHECKPOINT.md); modules are loaded when asked for, in
    eval mode.

    Raises CheckpointError for folders that are none or whose parts do not fit, IntegrityError for changed
    files.
    """

    def __init__(self, path: Path, record: Record, index: bytes) -> None:
        self.path = path
        self.record = record
        self._index = index
        self._files = VerifiedFiles(path, record.files, REMEDY)

    @classmethod
    def open(cls, path: Path | str) -> "Checkpoint":
        """Read and check index, geometry and codes; weights are checked when they are loaded."""
        path = Path(path)
        index = _read_index(path)
        checkpoint = cls(path, records.parse(index), index)
        _ = checkpoint.architectures
        return checkpoint

    @cached_property
    def unet_config(self) -> dict[str, Any]:
        """The dense UNet's config."""
        return self._json("unet", "config.json")

    @cached_property
    def space(self) -> Space:
        dense = self._on_meta()
        try:
            return discover(dense, depth=self.record.depth, feed_forward_gates=self.record.feed_forward_gates)
        except SpaceError as error:
            raise CheckpointError(f"{self.path}: aptp.json does not fit unet/config.json: {error}") from error

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """The architecture of each code."""
        if not self.record.codes:
            raise CheckpointError(f"{self.path}: aptp.json lists no codes")
        found = []
        for i, code in enumerate(self.record.codes):
            try:
                found.append(Architecture.from_json(self.space, code.architecture))
            except SpaceError as error:
                raise CheckpointError(f"{self.path}: code {i} does not fit the UNet: {error}") from error
        return tuple(found)

    def architecture(self, name: str) -> Architecture:
        """Return the architecture that the expert `name` keeps: everything, where that is "dense"."""
        return full(self.space) if name == DENSE else self.architectures[int(name)]

    @cached_property
    def pipeline(self) -> str:
        """The diffusers pipeline class this folder describes."""
        return str(self._json("", "model_index.json").get("_class_name"))

    @cached_property
    def vae_config(self) -> dict[str, Any]:
        return self._json("vae", "config.json")

    @property
    def vae_scale(self) -> int:
        """Image pixels per latent along one side."""
        return vae_scale(self.vae_config, self.path / "vae" / "config.json")

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of the latents at the size the codes were budgeted at."""
        height, width = self.record.size
        return height // self.vae_scale, width // self.vae_scale

    @property
    def latent_multiple(self) -> int:
        with reading(f"{self.path}/unet/config.json describes no UNet"):
            return latent_multiple(self.unet_config)

    def cost(self) -> LinearCost:
        """Return the true MACs at the size the codes were budgeted at."""
        size, length = self.latent_size, self.tokenizer["length"]
        with reading(f"{self.path}/unet/config.json describes no UNet that runs on {length} tokens"):
            return mac_cost(self.unet_config, self.space, *size, length)

    @cached_property
    def routed_frame(self) -> dict[str, int]:
        """`tokenizer` of the encoder whose embeddings the router reads."""
        if self.record.prompt_encoder == TEXT_ENCODER:
            return self.tokenizer
        self.verify(PROMPT_ENCODER)
        folder = self.path / PROMPT_ENCODER
        return frame_of(read_tokenizer(folder), folder)

    @cached_property
    def tokenizer(self) -> dict[str, int]:
        """`length`, `bos`, `eos` and `pad` of the pipeline's tokenizer."""
        tokenizer = self.clip_tokenizer()
        return {
            "length": int(tokenizer.model_max_length),
            "bos": int(tokenizer.bos_token_id),
            "eos": int(tokenizer.eos_token_id),
            "pad": int(tokenizer.pad_token_id),
        }

    def clip_tokenizer(self) -> CLIPTokenizer:
        """Return the pipeline's tokenizer, held against its text encoder."""
        self.verify("tokenizer")
        return read_clip_tokenizer(self.path / "tokenizer", self._text_config())

    def tokenizer_file(self, folder: str = "tokenizer") -> Path:
        """Return the tokenizer as one file of the *tokenizers* library."""
        self.verify(f"{folder}/tokenizer.json")
        return self.path / folder / "tokenizer.json"

    def check_servable(self) -> None:
        """Raise CheckpointError, or SpaceError of the UNet, for a pipeline that no bundle can serve."""
        text = self._text_config().to_dict()
        check_servable(ComponentConfigs(self.path, self.unet_config, self.vae_config, (text,)))

    def scheduler_config(self) -> dict[str, Any]:
        """Return the scheduler's config as diffusers' pipeline of this folder has it; `from_config` of any
        scheduler class takes it.
        """
        config = self._json("scheduler", scheduler.FILE)
        return scheduler.config_in_pipeline(config, self.path / "scheduler" / scheduler.FILE)

    def text_encoder(self, dtype: torch.dtype = torch.float32) -> CLIPTextModel:
        return self._load(CLIPTextModel, "text_encoder", dtype)

    def prompt_encoder(self) -> PromptEncoder | None:
        """Load the encoder that the router reads, in float32; None where that is the text encoder."""
        if self.record.prompt_encoder == TEXT_ENCODER:
            return None
        self.verify(PROMPT_ENCODER)
        return read_prompt_encoder(self.path / PROMPT_ENCODER)

    def vae(self, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        return self._load(AutoencoderKL, "vae", dtype)

    def dense(self, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
        return self._load(UNet2DConditionModel, "unet", dtype)

    def expert(self, name: str, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
        """Return the UNet of code `name` ("0", "1", …), or the dense one for "dense". Raises CheckpointError
        for other names.
        """
        if name == DENSE:
            return self.dense(dtype)
        names = [str(i) for i in range(len(self.record.codes))]
        if name not in names:
            known = ", ".join([*names, DENSE])
            raise CheckpointError(f"{self.path} has no expert '{name}'; it has {known}{nearest(name, names)}")
        folder = f"experts/{name}"
        self.verify(folder)
        self._check_expert(name, folder)
        with reading(f"{self.path / folder} cannot be loaded"):
            return SlicedUNet.from_pretrained(self.path / folder, dtype=dtype).eval()

    def router(self) -> Router:
        """Return the router in float32."""
        self.verify(router_file.NAME)
        return read_router(self.path, self.record.router, self.space, len(self.record.codes))

    def detector(self) -> MahalanobisDetector | None:
        """Load the detector of prompts unlike those of the training, where the index asks for it."""
        if self.record.out_of_distribution is None:
            return None
        self.verify(DETECTOR)
        return read_detector(self.path)

    def digest(self, component: str = "") -> str:
        """Return the SHA-256 over the published hashes of a component ("unet", "vae", "experts/0", …); of the
        whole by default.
        """
        if not component:
            return hashlib.sha256(self._index).hexdigest()
        files = self._listed(component)
        lines = [f"{entry.sha256} {entry.size} {name}\n" for name, entry in files.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def verify(self, component: str = "") -> None:
        """Hash a component's files (everything by default), once and again if one was touched since.

        Raises CheckpointError if the index lists no such component, IntegrityError for files that differ
        from the index or are not in it.
        """
        listed = self._listed(component)
        self._files.check_unlisted(component)
        for name in listed:
            self._files.file(name)

    def _listed(self, component: str) -> dict[str, FileEntry]:
        found = {
            name: entry
            for name, entry in sorted(self.record.files.items())
            if not component or name == component or name.startswith(component + "/")
        }
        if not found:
            raise CheckpointError(f"{self.path}: aptp.json lists no '{component}'; make the checkpoint again")
        return found

    def _json(self, component: str, name: str) -> dict[str, Any]:
        path = f"{component}/{name}" if component else name
        self.verify(path)
        try:
            data = json.loads(self._files.read(path))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.path / path} is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise CheckpointError(f"{self.path / path} does not hold an object")
        return data

    def _text_config(self) -> CLIPTextConfig:
        config = self._json("text_encoder", "config.json")
        with reading(f"{self.path}/text_encoder/config.json describes no text encoder"):
            return CLIPTextConfig.from_dict(config)

    def _on_meta(self) -> UNet2DConditionModel:
        with reading(f"{self.path}/unet/config.json describes no UNet"), torch.device("meta"):
            return UNet2DConditionModel.from_config(self.unet_config)

    def _check_expert(self, name: str, folder: str) -> None:
        """Hold the expert's own config and tensors against the code in the index, before a module is built
        from them.
        """
        architecture = self.architectures[int(name)]
        stated = self._json(folder, "config.json").get("architecture")
        if stated != config_of(architecture):
            raise CheckpointError(
                f"{self.path}/{folder}/config.json does not describe code {name} of aptp.json"
            )
        shapes = {key: tensor.shape for key, tensor in self._on_meta().state_dict().items()}
        try:
            with safe_open(self.path / folder / WEIGHTS, framework="pt") as file:
                found = {key: torch.Size(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            check_shapes(found, architecture, shapes)
        except (SpaceError, SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{self.path}/{folder}/{WEIGHTS} does not fit code {name}: {error}"
            ) from error

    def _load(self, kind: Any, component: str, dtype: torch.dtype) -> Any:
        self.verify(component)
        return read_network(kind, self.path / component, dtype)


def _read_index(path: Path) -> bytes:
    try:
        names = {item.name for item in path.iterdir()}
    except OSError as error:
        raise CheckpointError(
            f"there is no checkpoint folder {str(path)[:120]} ({error.strerror}); "
            "make one with python -m aptp.new"
        ) from error
    if "aptp.json" not in names:
        hint = "; it is a diffusers folder: python -m aptp.new --from makes a checkpoint of it"
        raise CheckpointError(
            f"{path} is not a checkpoint: it has no aptp.json{hint if 'model_index.json' in names else ''}"
        )
    with open_beneath(path, records.INDEX, REMEDY) as file:
        index = file.read(BYTES + 1)
    with open_beneath(path, "aptp.sha256", REMEDY) as file:
        digest = file.read(1024)
    if records.digest(index).encode() != digest:
        raise IntegrityError(f"{path}/aptp.json has changed since it was published (aptp.sha256 disagrees)")
    return index

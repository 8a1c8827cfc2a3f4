"""Encoders: the networks whose features are compared, with the preprocessing that each one is defined by."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPTokenizer

from aptp.score import inception
from aptp.score.preprocessing import bilinear, short_side
from runtime.errors import EncoderError
from runtime.files.source import digest_source, read_source
from runtime.files.strict_json import decode

PUBLISHED = "6726825d"  # how the SHA-256 of FID's weights begins
# The geometry that CMMD is defined on: ViT-L/14 at 336 pixels.
CMMD = {"image_size": 336, "patch_size": 14, "hidden_size": 1024}
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's pictures, where its folder does not say otherwise
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
FAILURES = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    IndexError,
    SafetensorError,
)
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
MOST_BYTES = 4 << 20


class Encoder(Protocol):
    """A network that makes features [B, D] of pictures.

    `published`: its metrics are named after these weights.
    """

    @property
    def weights(self) -> str: ...

    @property
    def preprocessing(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def published(self) -> bool: ...

    def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
        """Return what `encode` takes of a picture; any thread may ask."""
        ...

    def encode(self, prepared: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class InceptionEncoder:
    """FID's network, on pictures as clean-fid's `legacy_pytorch` resizes them."""

    network: inception.Inception = field(repr=False)
    weights: str
    device: torch.device
    preprocessing = f"bilinear {inception.SIDE}"
    width = inception.WIDTH

    @classmethod
    def read(cls, path: Path, device: torch.device) -> "InceptionEncoder":
        """Read the weights. Raises EncoderError."""
        network = inception.read_inception(path).to(device)
        return cls(network, digest_source(path).sha256, device)

    @property
    def published(self) -> bool:
        return self.weights.startswith(PUBLISHED)

    def prepare(self, image: Image.Image) -> npt.NDArray[np.float32]:
        return bilinear(image, inception.SIDE)

    def encode(self, prepared: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        with exactly():
            return _host(self.network(torch.from_numpy(np.stack(prepared)).to(self.device)))


@dataclass(frozen=True, slots=True)
class Clip:
    """A CLIP model of a local folder. `side`: pixels that it reads; `geometry`: its config of pictures."""

    model: Any = field(repr=False)
    folder: Path
    weights: str
    device: torch.device
    side: int
    geometry: dict[str, Any]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> "Clip":
        """Read a transformers folder with safetensors. Raises EncoderError."""
        config = _config(folder)
        try:
            model, report = CLIPModel.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        except FAILURES as error:
            raise EncoderError(f"{folder} cannot be read as a CLIP model: {error}") from error
        for problem in ("missing", "mismatched"):
            if names := report[f"{problem}_keys"]:
                raise EncoderError(f"{folder}: {problem} weights: {', '.join(sorted(map(str, names))[:3])}")
        geometry = config["vision_config"]
        mean, deviation = _normalisation(folder)
        weights = _digest(folder, [CONFIG, *(path.name for path in sorted(folder.glob("*.safetensors")))])
        side = int(model.config.vision_config.image_size)
        return cls(model.eval().to(device), folder, weights, device, side, geometry, mean, deviation)

    def pictures(self, prepared: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Return the embedding of each picture [3, S, S], of length 1."""
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device).float() / 255
        mean, deviation = (
            torch.tensor(each, device=self.device).view(1, 3, 1, 1) for each in (self.mean, self.deviation)
        )
        with exactly():
            pooled = self.model.vision_model(pixel_values=(pixels - mean) / deviation).pooler_output
            return _host(normalize(self.model.visual_projection(pooled), dim=-1))


@dataclass(frozen=True, slots=True)
class ClipPictures:
    """Pictures by CLIP, for the CLIP score or, by `centre_square`, for CMMD."""

    clip: Clip
    crop: Callable[[Image.Image, int], npt.NDArray[np.uint8]] = short_side

    @property
    def weights(self) -> str:
        return self.clip.weights

    @property
    def preprocessing(self) -> str:
        clip = self.clip
        return f"{self.crop.__name__} {clip.side} {clip.mean} {clip.deviation}"

    @property
    def width(self) -> int:
        return int(self.clip.model.config.projection_dim)

    @property
    def published(self) -> bool:
        return self.crop is short_side or CMMD.items() <= self.clip.geometry.items()

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        return self.crop(image, self.clip.side)

    def encode(self, prepared: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        return self.clip.pictures(prepared)


class ClipCaptions:
    """Captions by CLIP. Those too long for it are cut by its tokenizer."""

    preprocessing = "captions"

    def __init__(self, clip: Clip) -> None:
        """Read the tokenizer of the same folder. Raises EncoderError."""
        self._clip = clip
        names = [path.name for path in clip.folder.glob("*") if path.suffix in (".json", ".txt")]
        self.weights = _digest(clip.folder, sorted(names)) + clip.weights
        self.width = int(clip.model.config.projection_dim)
        try:
            self._tokenizer = CLIPTokenizer.from_pretrained(clip.folder, local_files_only=True)
            known = self._tokenizer("a red circle and a dog")["input_ids"]
        except FAILURES as error:
            raise EncoderError(f"{clip.folder}: the tokenizer cannot be read: {error}") from error
        if len(set(known)) < 5:  # begin, end and words that differ
            raise EncoderError(
                f"{clip.folder}: the tokenizer knows no words; the folder lacks vocab.json and "
                "merges.txt, or tokenizer.json"
            )

    def encode(self, captions: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the embedding of each caption, of length 1: [B, D]."""
        length = int(self._clip.model.config.text_config.max_position_embeddings)
        tokens = self._tokenizer(
            list(captions), padding=True, truncation=True, max_length=length, return_tensors="pt"
        ).to(self._clip.device)
        with exactly():
            found = self._clip.model.text_model(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            ).pooler_output
            return _host(normalize(self._clip.model.text_projection(found), dim=-1))


@contextmanager
def exactly() -> Iterator[None]:
    """Infer in float32 to the last bit that a device has: no TF32 in convolutions or products."""
    flags: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [each.allow_tf32 for each in flags]
    try:
        for each in flags:
            each.allow_tf32 = False
        with torch.inference_mode():
            yield
    finally:
        for each, value in zip(flags, before, strict=True):
            each.allow_tf32 = value


def _host(features: Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = features.float().cpu().numpy()
    return found


def _config(folder: Path) -> dict[str, Any]:
    """Return a folder's config, which is CLIP's. Raises EncoderError."""
    try:
        config = decode(read_source(folder / CONFIG, MOST_BYTES), f"{folder / CONFIG}", EncoderError)
    except OSError as error:
        raise EncoderError(
            f"{folder} is no transformers folder of CLIP: {CONFIG} cannot be read ({error.strerror})"
        ) from error
    if config.get("model_type") != "clip" or not isinstance(config.get("vision_config"), dict):
        raise EncoderError(
            f"{folder} holds a model of type {config.get('model_type')!r}, and no whole CLIP; give a "
            "folder such as openai/clip-vit-base-patch32, downloaded"
        )
    return config


def _normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation of channels that a folder asks for, or CLIP's own."""
    if not (folder / PREPROCESSOR).is_file():
        return MEAN, DEVIATION
    path = folder / PREPROCESSOR
    body = decode(read_source(path, MOST_BYTES), str(path), EncoderError)
    found = [body.get(name, default) for name, default in (("image_mean", MEAN), ("image_std", DEVIATION))]
    for each in found:
        if (
            not isinstance(each, list | tuple)
            or len(each) != 3
            or not all(isinstance(v, float) for v in each)
        ):
            raise EncoderError(f"{path}: image_mean and image_std are three numbers each")
    return tuple(found[0]), tuple(found[1])


def _digest(folder: Path, names: Sequence[str]) -> str:
    """Return the SHA-256 of these files of a folder, by name and content."""
    total = hashlib.sha256()
    for name in names:
        total.update(f"{name} {digest_source(folder / name).sha256}\n".encode())
    return total.hexdigest()

"""A sentence encoder for routing: a transformers folder such as all-mpnet-base-v2, read and written.

It turns a prompt into the embeddings that a router averages, where those are not the text encoder's.
Weights come from safetensors alone and are rounded to float16 once, when they are read: training, the
checkpoint and the bundle then hold the same numbers. Refuses code that comes with a folder, and tokenizers
that frame a prompt with anything but one token on either side.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from aptp.components.boundary import reading
from aptp.components.networks import TRANSFORMERS, check_complete
from aptp.components.weight_files import find_weights
from aptp.model.encoding import Encoded
from runtime.errors import CheckpointError

MOST_TOKENS = 384
PROBE = "a photo of two dogs, one of them asleep"
HEADS = r"(?!.*(lora_|\.base_layer\.|adapter)).*"
FAILURES = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, IndexError)


class PromptEncoder(nn.Module):
    """A sentence encoder with its tokenizer; `model` is in float32 and eval mode. `frame`: `frame_of` the
    tokenizer; `width`: E of its embeddings.

    Raises CheckpointError, naming `folder`, for a tokenizer or a model that a router cannot be given.
    """

    tokenizer: Any
    model: Any

    def __init__(self, tokenizer: Any, model: nn.Module, folder: Path) -> None:
        super().__init__()
        self.frame = frame_of(tokenizer, folder)
        self.tokenizer, self.model = tokenizer, model.float().eval()
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # a head for whole sentences; tokens are averaged instead
        self.width = self._measured(folder)

    def forward(self, captions: Sequence[str]) -> Encoded:
        """Return token embeddings of `captions`, padded to the longest of them; longer texts are cut."""
        tokens = self.tokenizer(
            list(captions),
            padding=True,
            truncation=True,
            max_length=self.frame["length"],
            return_tensors="pt",
        )
        device = next(self.model.parameters()).device
        ids, mask = tokens.input_ids.to(device), tokens.attention_mask.to(device)
        return Encoded(self.model(input_ids=ids, attention_mask=mask)[0], mask.bool())

    def save(self, folder: Path) -> None:
        """Write it to `folder`, from which `read_prompt_encoder` makes the same."""
        self.model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
        self.model.float()
        self.tokenizer.save_pretrained(folder)

    def digest(self) -> str:
        """Return the SHA-256 of what decides its output: weights, tokenizer and frame."""
        total = hashlib.sha256(f"{self.tokenizer.backend_tokenizer.to_str()}{self.frame}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            total.update(name.encode() + tensor.cpu().numpy().tobytes())
        return total.hexdigest()

    @torch.no_grad()
    def _measured(self, folder: Path) -> int:
        """Return E, from embeddings of the longest prompt that fits."""
        try:
            hidden, mask = self([PROBE + " and more" * self.frame["length"]])
        except FAILURES as error:
            raise CheckpointError(
                f"{folder} cannot encode {self.frame['length']} tokens, its tokenizer's model_max_length "
                f"(at most {MOST_TOKENS}): {error}"
            ) from error
        if hidden.shape[:2] != mask.shape or hidden.ndim != 3 or not hidden.isfinite().all():
            raise CheckpointError(f"{folder} does not give one finite embedding per token")
        return int(hidden.shape[2])


def read_prompt_encoder(folder: Path) -> PromptEncoder:
    """Read the encoder in a local transformers folder. Raises CheckpointError for anything else."""
    tokenizer = read_tokenizer(folder)
    weights = find_weights(folder, TRANSFORMERS)
    with reading(f"{folder} cannot be read as a transformers encoder"):
        model, report = AutoModel.from_pretrained(
            folder,
            dtype=torch.float16,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            variant=weights.variant,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told in the report, by name
        )
        missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    # A file may hold heads, which nothing here reads; an adapter among the weights would be left out.
    told = {"unexpected_keys": report["unexpected_keys"], "mismatched_keys": report["mismatched_keys"]}
    check_complete(folder, {"missing_keys": missing, **told}, ignored=HEADS)
    return PromptEncoder(tokenizer, model, folder)


def read_tokenizer(folder: Path) -> Any:
    """Read the tokenizer in a local transformers folder, which must come as `tokenizer.json`."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not a transformers encoder with its tokenizer: no {name}")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except FAILURES as error:
        raise CheckpointError(f"{folder}: the tokenizer cannot be read: {error}") from error


def frame_of(tokenizer: Any, folder: Path) -> dict[str, int]:
    """Return `length`, `bos`, `eos` and `pad`: how a prompt's tokens are framed, and in how many.

    Raises CheckpointError where the tokenizer itself frames them otherwise.
    """
    bos = _first(tokenizer.bos_token_id, tokenizer.cls_token_id)
    eos = _first(tokenizer.eos_token_id, tokenizer.sep_token_id)
    plain = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if None in (bos, eos, tokenizer.pad_token_id) or tokenizer(PROBE)["input_ids"] != [bos, *plain, eos]:
        raise CheckpointError(
            f"{folder}: the tokenizer does not put one token before a prompt and one after it, or has no "
            "padding; the runtime could not repeat it"
        )
    length = min(int(tokenizer.model_max_length), MOST_TOKENS)
    return {"length": length, "bos": int(bos), "eos": int(eos), "pad": int(tokenizer.pad_token_id)}


def _first(*ids: int | None) -> Any:
    return next((number for number in ids if number is not None), None)

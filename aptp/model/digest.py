"""Digests of encoders by content: the same for the same numbers, wherever they came from."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from torch import nn

# What decides the output of an encoder beside its weights; everything else in a config is about its file.
VAE = ("act_fn", "block_out_channels", "down_block_types", "layers_per_block", "norm_num_groups")
TEXT = ("model_type", "hidden_act", "layer_norm_eps", "num_attention_heads", "num_hidden_layers")


def vae_digest(vae: Any) -> str:
    """Return the SHA-256 of what decides the moments that a VAE gives; its decoder does not."""
    config = {name: vae.config.get(name) for name in (*VAE, "mid_block_add_attention")}
    return _digest(config, [part for part in (vae.encoder, vae.quant_conv) if part is not None])


def text_encoder_digest(encoder: Any) -> str:
    """Return the SHA-256 of what decides the embeddings of token ids."""
    return _digest({name: getattr(encoder.config, name, None) for name in TEXT}, [encoder])


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of what decides a prompt's token ids."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()  # these two are left there by the last call
    plain.no_truncation()
    frame = {name: getattr(tokenizer, name) for name in ("model_max_length", "pad_token_id", "padding_side")}
    return hashlib.sha256(f"{json.dumps(frame)}{plain.to_str()}".encode()).hexdigest()


def _digest(config: Mapping[str, Any], parts: list[nn.Module]) -> str:
    """Digest a config and tensors, which count as float32: a copy in another dtype that holds the same
    numbers is the same.
    """
    total = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for number, part in enumerate(parts):
        for name, tensor in sorted(part.state_dict().items()):
            total.update(f"{number} {name} {list(tensor.shape)}".encode())
            total.update(tensor.float().cpu().contiguous().numpy().data)
    return total.hexdigest()

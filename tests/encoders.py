"""A sentence encoder of MPNet's shape, with random weights and a tokenizer of a few words."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

WORDS = """
a an the of on in at left right above below large small tiny red green blue purple yellow white black
circle square star cross ring triangle two three four word hello dog dogs photo letters background
""".split()  # noqa: SIM905 (a word list reads better as text)
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
WIDTH = 24


def write_encoder(folder: Path, tokens: int = 24, seed: int = 0, **config: Any) -> Path:
    """Writes the encoder, for prompts of up to ``tokens`` tokens, and gives ``folder``."""
    pieces = [
        *SPECIAL,
        *WORDS,
        *string.ascii_lowercase,
        *(f"##{letter}" for letter in string.ascii_lowercase),
    ]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = {**sizes, "vocab_size": len(vocabulary), "max_position_embeddings": 512, **config}
        model = MPNetModel(MPNetConfig(**shape))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder, safe_serialization=True)
    MPNetTokenizer(vocab=vocabulary, model_max_length=tokens).save_pretrained(folder)
    return folder

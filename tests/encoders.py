"""A sentence encoder of MPNet's shape, with random weights and a tokenizer of a few words."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

from aptp.checkpoint.reader import Checkpoint
from aptp.model.prompt_encoder import PromptEncoder, read_prompt_encoder
from aptp.model.router import Router
from tests.checkpoints import sign

WORDS = """
a an the of on in at left right above below large small tiny red green blue purple yellow white black
circle square star cross ring triangle two three four word hello dog dogs photo letters background
""".split()  # noqa: SIM905 (a word list reads better as text)
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
WIDTH = 24


def write_encoder(folder: Path, tokens: int = 24, seed: int = 0, **config: Any) -> Path:
    """Writes the encoder, for prompts of up to `tokens` tokens, and gives `folder`."""
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


@torch.no_grad()
def averages(encoder: PromptEncoder, prompts: Sequence[str]) -> torch.Tensor:
    """[N, E]: each prompt, as a router averages it."""
    return torch.stack([encoder([prompt]).hidden[0].mean(0) for prompt in prompts])


def give_encoder(checkpoint: Path, prompts: Sequence[str]) -> Path:
    """Gives a checkpoint such an encoder, and a router of its width that tells `prompts` apart."""
    encoder = read_prompt_encoder(write_encoder(checkpoint.with_name("mpnet")))
    encoder.save(checkpoint / "prompt_encoder")
    known = Checkpoint.open(checkpoint)
    router = Router(WIDTH, known.space.size, len(known.architectures))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        pooled = averages(encoder, prompts)
        router.predictor.weight.normal_(generator=rng)
        router.predictor.bias.copy_(-router.predictor.weight @ pooled.mean(0))
        router.codes.normal_(generator=rng)
    save_file(router.state_dict(), checkpoint / "router.safetensors")
    sign(checkpoint, prompt_encoder="prompt_encoder")
    return checkpoint

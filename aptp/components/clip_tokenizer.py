"""A pipeline's CLIP tokenizer, read from its folder and tried: one that does not tokenize is refused.

A folder without its vocabulary loads as well: its tokenizer knows two tokens, and every prompt is the same.
"""

from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from aptp.components.boundary import reading
from aptp.components.config_file import refuse_pointer
from runtime.errors import CheckpointError

PROBES = ("a photo of two dogs, one of them asleep", "seven green hills")
VOCABULARY = (("tokenizer.json",), ("vocab.json", "merges.txt"))


def read_clip_tokenizer(folder: Path, text_encoder: Any = None) -> CLIPTokenizer:
    """Read the tokenizer in `folder`. `text_encoder`: the config of the encoder that reads its tokens.

    A tokenizer that names no length gets the encoder's. Raises CheckpointError for one that does not turn
    prompts into tokens that the encoder knows.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not any(names.issuperset(some) for some in VOCABULARY):
        raise CheckpointError(
            f"{folder} holds no vocabulary of a CLIP tokenizer: neither tokenizer.json nor vocab.json with "
            "merges.txt; fetch the pipeline again, or copy the tokenizer of its text encoder"
        )
    for path in sorted(folder.iterdir()):
        if path.is_file():
            refuse_pointer(path)
    with reading(f"{folder} cannot be read as a CLIP tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        ids = [list(tokenizer(probe).input_ids) for probe in PROBES]
        special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    if not all(isinstance(number, int) for number in special):
        raise CheckpointError(
            f"{folder}: the tokenizer lacks its begin, end or padding token; fetch it again"
        )
    _check_tokens(folder, tokenizer, ids)
    if text_encoder is not None:
        _fit(folder, tokenizer, text_encoder)
    return tokenizer


def _check_tokens(folder: Path, tokenizer: Any, ids: list[list[int]]) -> None:
    plain = [some[1:-1] for some in ids]
    framed = all((some[0], some[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id) for some in ids)
    unknown = tokenizer.unk_token_id
    if not framed or plain[0] == plain[1] or any(not some or set(some) == {unknown} for some in plain):
        raise CheckpointError(
            f"{folder}: the tokenizer makes {ids[0]} of the prompt '{PROBES[0]}', which says nothing of it; "
            "copy the tokenizer that the text encoder was trained with"
        )


def _fit(folder: Path, tokenizer: Any, encoder: Any) -> None:
    """Hold the tokenizer against its encoder's positions and vocabulary."""
    positions, words = int(encoder.max_position_embeddings), int(encoder.vocab_size)
    length = tokenizer.model_max_length
    if (
        not isinstance(length, int) or length > 1 << 20
    ):  # what transformers says where the folder says nothing
        tokenizer.model_max_length = positions
    elif not 2 < length <= positions:
        raise CheckpointError(
            f"{folder}/tokenizer_config.json: model_max_length is {length}, and the text encoder has "
            f"{positions} positions (max_position_embeddings): write {positions} there"
        )
    if len(tokenizer) > words:
        raise CheckpointError(
            f"{folder} knows {len(tokenizer)} tokens, and the text encoder {words} (vocab_size): copy the "
            "tokenizer that the text encoder was trained with"
        )

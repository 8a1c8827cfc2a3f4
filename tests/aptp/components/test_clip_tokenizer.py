"""Tokenizers that tokenize, and those that load and do not."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import CLIPTokenizer

from aptp.components.clip_tokenizer import read_clip_tokenizer
from runtime.errors import CheckpointError
from tests.aptp.components.conftest import change_config

TEXT = SimpleNamespace(max_position_embeddings=77, vocab_size=1024)


def without_vocabulary(tokenizer: Path) -> None:
    (tokenizer / "tokenizer.json").unlink()
    (tokenizer / "spiece.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")


def of_two_words(tokenizer: Path) -> None:
    """The folder without vocabulary as it becomes when transformers saves it again."""
    without_vocabulary(tokenizer)
    CLIPTokenizer.from_pretrained(tokenizer).save_pretrained(tokenizer)


def empty(tokenizer: Path) -> None:
    (tokenizer / "tokenizer.json").write_text("{}")


def pointer(tokenizer: Path) -> None:
    (tokenizer / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\n")


def half(tokenizer: Path) -> None:
    (tokenizer / "tokenizer.json").rename(tokenizer / "vocab.json")


def test_both_forms_of_a_vocabulary_are_read_alike(whole: Path, tmp_path: Path) -> None:
    one = read_clip_tokenizer(whole / "tokenizer", TEXT)
    model = json.loads((whole / "tokenizer" / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    other = read_clip_tokenizer(tmp_path, TEXT)
    assert other("a red circle").input_ids == one("a red circle").input_ids
    assert len(one("a red circle").input_ids) == 5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            without_vocabulary,
            "holds no vocabulary of a CLIP tokenizer: neither tokenizer.json nor vocab.json",
        ),
        (half, "neither tokenizer.json nor vocab.json with merges.txt"),
        (of_two_words, "of the prompt '.*', which says nothing of it; copy the tokenizer"),
        (empty, "cannot be read as a CLIP tokenizer"),
        (pointer, "tokenizer.json is a pointer of Git LFS"),
    ],
)
def test_a_tokenizer_that_does_not_tokenize(folder: Path, damage: object, message: str) -> None:
    damage(folder / "tokenizer")
    with pytest.raises(CheckpointError, match=message):
        read_clip_tokenizer(folder / "tokenizer", TEXT)


@pytest.mark.parametrize("length", [None, 10**30])
def test_a_tokenizer_that_names_no_length_has_its_encoders(folder: Path, length: int | None) -> None:
    change_config(folder / "tokenizer" / "tokenizer_config.json", model_max_length=length)
    assert read_clip_tokenizer(folder / "tokenizer", TEXT).model_max_length == 77


@pytest.mark.parametrize("length", [78, 2, 0, -1])
def test_a_length_that_the_encoder_has_not(folder: Path, length: int) -> None:
    change_config(folder / "tokenizer" / "tokenizer_config.json", model_max_length=length)
    with pytest.raises(CheckpointError, match=rf"model_max_length is {length}, .* 77 positions"):
        read_clip_tokenizer(folder / "tokenizer", TEXT)


def test_more_tokens_than_the_encoder_knows(whole: Path) -> None:
    small = SimpleNamespace(max_position_embeddings=77, vocab_size=100)
    with pytest.raises(CheckpointError, match=r"knows \d+ tokens, and the text encoder 100 \(vocab_size\)"):
        read_clip_tokenizer(whole / "tokenizer", small)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no vocabulary"):
        read_clip_tokenizer(tmp_path / "nowhere", TEXT)

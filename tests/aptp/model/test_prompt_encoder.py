"""Sentence encoders: what they read, what they are rounded to, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aptp.model.prompt_encoder import MOST_TOKENS, PromptEncoder, read_prompt_encoder
from runtime.errors import CheckpointError
from tests.encoders import WIDTH, write_encoder

LONG = "a small red circle on a large blue square " * 10


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "mpnet")


@pytest.fixture(scope="module")
def encoder(source: Path) -> PromptEncoder:
    return read_prompt_encoder(source)


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "copy"))


def test_embeddings_of_tokens_and_their_mask(encoder: PromptEncoder) -> None:
    hidden, mask = encoder(["a red circle", "", LONG])
    assert hidden.shape == (3, 24, WIDTH)
    assert hidden.shape[2] == encoder.width
    assert mask.sum(1).tolist() == [5, 2, 24]
    assert encoder.frame == {"length": 24, "bos": 0, "eos": 2, "pad": 1}


def test_a_prompt_is_the_same_alone_and_in_company(encoder: PromptEncoder) -> None:
    alone, together = encoder(["a red circle"]).hidden, encoder(["a red circle", LONG]).hidden
    torch.testing.assert_close(alone[0], together[0, :5])


def test_what_is_saved_reads_the_same_to_the_bit(encoder: PromptEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "saved")
    again = read_prompt_encoder(tmp_path / "saved")
    assert again.digest() == encoder.digest()
    assert torch.equal(again(["two dogs"]).hidden, encoder(["two dogs"]).hidden)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_weights_are_float32_that_float16_holds(encoder: PromptEncoder, source: Path) -> None:
    name = "encoder.layer.0.attention.attn.q.weight"
    mine, stored = encoder.model.get_parameter(name), load_file(source / "model.safetensors")[name]
    assert mine.dtype == torch.float32
    assert torch.equal(mine, stored.half().float())
    assert not torch.equal(mine, stored)


def test_another_weight_is_another_digest(encoder: PromptEncoder, copy: Path) -> None:
    change(copy, lambda state: state["embeddings.word_embeddings.weight"].mul_(2))
    assert read_prompt_encoder(copy).digest() != encoder.digest()


def test_a_tokenizer_without_a_length_gets_ours(copy: Path) -> None:
    edit(copy / "tokenizer_config.json", model_max_length=None)
    assert read_prompt_encoder(copy).frame["length"] == MOST_TOKENS


def test_pooling_heads_are_not_needed(copy: Path, encoder: PromptEncoder) -> None:
    def remove(state: dict[str, Any]) -> None:
        for name in [name for name in state if name.startswith("pooler.")]:
            del state[name]

    change(copy, remove)
    assert read_prompt_encoder(copy).digest() == encoder.digest()


def change(folder: Path, how: Any) -> None:
    state = load_file(folder / "model.safetensors")
    how(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def poison(state: dict[str, Any]) -> None:
    state["embeddings.LayerNorm.bias"].fill_(torch.nan)


def adapt(state: dict[str, Any]) -> None:
    state["encoder.layer.0.attention.attn.q.lora_A.weight"] = torch.zeros(2, 2)


def unframe(folder: Path) -> None:
    """A tokenizer that adds nothing to a prompt."""
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    edit(folder / "tokenizer.json", post_processor=None)


def edit(path: Path, **changes: Any) -> None:
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights that can be read"),
        (lambda f: change(f, adapt), "those of a LoRA"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04pickle"), "cannot be read"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer cannot be read"),
        (lambda f: edit(f / "config.json", hidden_size=64), "in another shape"),
        (lambda f: edit(f / "config.json", num_hidden_layers=3), "the file lacks: encoder.layer.2"),
        (lambda f: edit(f / "config.json", model_type="secret"), "cannot be read as a transformers encoder"),
        (lambda f: change(f, poison), "one finite embedding"),
        (lambda f: unframe(f), "does not put one token before a prompt"),
    ],
)
def test_what_is_refused(copy: Path, damage: Any, message: str) -> None:
    damage(copy)
    with pytest.raises(CheckpointError, match=message):
        read_prompt_encoder(copy)


def test_code_that_comes_with_a_folder_is_not_run(copy: Path) -> None:
    sprung = copy / "sprung"
    (copy / "trap.py").write_text(f"open({str(sprung)!r}, 'w').close()")
    edit(copy / "config.json", model_type="secret", auto_map={"AutoModel": "trap.Trap"})
    with pytest.raises(CheckpointError, match="cannot be read as a transformers encoder"):
        read_prompt_encoder(copy)
    assert not sprung.exists()


def test_more_tokens_than_the_model_has_places_for(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "short", tokens=64, max_position_embeddings=32)
    with pytest.raises(CheckpointError, match="cannot encode 64 tokens"):
        read_prompt_encoder(folder)

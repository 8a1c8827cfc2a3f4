"""Published folders become checkpoints: the same gates, the same weights, the same routes."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from aptp.checkpoint.reader import Checkpoint
from aptp.convert.conversion import ROW_0, ConversionSource, convert
from aptp.model.slicer import scattered_state
from aptp.pipeline import read_pipeline
from runtime.errors import UsageError
from tests.published import WEIGHTS

PROMPTS = ["a red circle", "two dogs", "", "a photo of the word hello", "the small blue star on a white ring"]


@pytest.fixture(scope="module")
def converted(source: ConversionSource, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("converted") / "out"
    made = convert(source, out)
    assert [one.folder for one in made] == ["arch0", "arch1", "arch2"]
    assert not any(one.full for one in made)
    assert all(0.98 < one.likeness < 1 for one in made)
    return Checkpoint.open(out)


def weights_of(root: Path, code: int) -> Path:
    return root / f"arch{code}" / "checkpoint-30000" / "unet" / WEIGHTS


def test_experts_are_the_published_ones(source: ConversionSource, converted: Checkpoint) -> None:
    converted.verify()
    for code, found in enumerate(converted.architectures):
        vector = torch.load(source.root / f"arch{code}" / "arch_vector.pt", weights_only=True)[0]
        assert found.keep.tolist() == (vector >= 0.5).tolist()
        state = converted.expert(str(code)).state_dict()
        stored = load_file(weights_of(source.root, code))
        assert state.keys() == stored.keys()
        assert all(torch.equal(state[name], stored[name]) for name in stored)


def test_what_the_index_says(source: ConversionSource, converted: Checkpoint) -> None:
    record, cost = converted.record, converted.cost()
    assert (record.router, record.prompt_encoder) == ("gated", "prompt_encoder")
    assert record.trained
    assert record.size == (32, 32)
    assert record.name == source.root.name
    for code, found in zip(record.codes, converted.architectures, strict=True):
        assert code.budget == pytest.approx(cost.of(found) / cost.dense)
    assert record.provenance["routing"] == "noise-free"
    table = (source.root / "quantizer" / WEIGHTS).read_bytes()
    assert record.provenance["files"][f"quantizer/{WEIGHTS}"] == hashlib.sha256(table).hexdigest()
    assert str(source.root.parent) not in json.dumps(record.provenance)


def test_full_weights_are_cut_by_their_code(
    source: ConversionSource, converted: Checkpoint, copy: Path, tmp_path: Path
) -> None:
    dense = read_pipeline(source.pipeline, torch.float32).unet.state_dict()
    path = weights_of(copy, 1)
    sliced = load_file(path)
    save_file(scattered_state(sliced, dense, converted.architectures[1]), path)
    made = convert(replace(source, root=copy), tmp_path / "out")
    assert [one.full for one in made] == [False, True, False]
    state = Checkpoint.open(tmp_path / "out").expert("1").state_dict()
    assert all(torch.equal(state[name], sliced[name]) for name in sliced)


def test_folders_may_have_any_number(source: ConversionSource, copy: Path, tmp_path: Path) -> None:
    (copy / "arch0").rename(copy / "arch7")
    made = convert(replace(source, root=copy), tmp_path / "out")
    assert [one.folder for one in made] == ["arch7", "arch1", "arch2"]


def test_the_last_checkpoint_counts(source: ConversionSource, copy: Path, tmp_path: Path) -> None:
    older = copy / "arch0" / "checkpoint-9000"
    older.mkdir()
    (older / WEIGHTS).write_bytes(b"not to be read")
    convert(replace(source, root=copy), tmp_path / "out")


def test_unknown_routing(source: ConversionSource) -> None:
    with pytest.raises(UsageError, match=r"no 'row0'; there is noise-free and row-0 \(did you mean 'row-0'"):
        replace(source, routing="row0")


@pytest.mark.parametrize("routing", ["noise-free", ROW_0])
def test_prompts_go_where_the_published_rule_sends_them(
    source: ConversionSource, tmp_path: Path, routing: str
) -> None:
    convert(replace(source, routing=routing), tmp_path / "out")
    made = Checkpoint.open(tmp_path / "out")
    encoder, router = made.prompt_encoder(), made.router()
    assert encoder is not None
    for prompt in PROMPTS:
        with torch.no_grad():
            encoded = encoder([prompt])
            found = router(*encoded)[0]
        wanted = published_similarity(source.root, encoded.hidden[0].mean(0), routing == ROW_0)
        assert found.numpy() == pytest.approx(wanted, abs=2e-5)
        assert np.ptp(wanted) > 0.01


def published_similarity(root: Path, embedding: Tensor, noisy: bool) -> np.ndarray:
    """[K]: what the published evaluation compares for a batch of one prompt, from its own files."""
    config = json.loads((root / "quantizer" / "config.json").read_text())
    predictor = load_file(root / "hypernet" / WEIGHTS)
    codes = load_file(root / "quantizer" / WEIGHTS)["embedding_gs"].double()
    sizes = [gates for sublayer in config["structure"]["width"] for gates in sublayer]
    scores = [
        predictor[f"mh_fc.{i}.weight"].double() @ embedding.double() + predictor[f"mh_fc.{i}.bias"]
        for i in range(len(sizes) + 1)
    ]

    def gate(score: Tensor) -> Tensor:
        uniform = torch.rand((1, len(score)), generator=torch.Generator().manual_seed(0))[0].double()
        noise = -torch.log(-torch.log(uniform)) if noisy else 0
        return torch.sigmoid((score + noise + config["base"]) / config["temperature"])

    widths = [gate(score) for score in scores[:-1]]
    for group in widths:
        group[0] += 0.5 * bool(group.max() < 0.5)
    shares = scores[-1].softmax(0).cumsum(0).flip(0)
    ranked = gate(torch.log(shares + 1e-6) - torch.log1p(1e-6 - shares))
    depths = torch.zeros_like(ranked)
    depths[[place % len(ranked) for place in config["depth_order"]]] = ranked
    one = compared(config["structure"], torch.cat([*widths, depths]))
    rows = torch.stack([compared(config["structure"], code) for code in codes])
    return torch.nn.functional.cosine_similarity(one[None], rows).numpy()


def compared(structure: dict[str, Any], gates: Tensor) -> Tensor:
    """Sublayers that may be skipped as products with their depth gate, all else hard; groups count once."""
    depths = gates[sum(map(sum, structure["width"])) :]
    parts, start, left = [], 0, iter(depths)
    for sizes, (skippable,) in zip(structure["width"], structure["depth"], strict=True):
        depth = next(left) if skippable else None
        for size in sizes:
            group = gates[start : start + size]
            start += size
            parts.append((group * depth if depth is not None else (group >= 0.5).double()) / size**0.5)
    return torch.cat([*parts, (depths >= 0.5).double()])

"""Every gate is drawn once, where it is run."""

import re

import numpy as np
import pytest

from aptp.analyse.blueprint import blocks, picture
from aptp.checkpoint.reader import Checkpoint
from aptp.default import default_checkpoint
from aptp.space.architecture import Architecture, full


@pytest.fixture(scope="module")
def architectures() -> list[Architecture]:
    checkpoint = Checkpoint.open(default_checkpoint())
    return [full(checkpoint.space), *checkpoint.architectures]


def test_blocks_come_as_they_are_run(architectures: list[Architecture]) -> None:
    found = blocks(architectures[0])
    assert [block.name for block in found] == ["down 0", "down 1", "down 2", "mid", "up 0", "up 1", "up 2"]
    assert [block.level for block in found] == [0, 1, 2, 3, 2, 1, 0]
    first = [sublayer[0].module for sublayer in found[3].sublayers]
    assert [module.split(".")[1] + module.split(".")[2][0] for module in first] == [
        "resnets0",
        "attentions0",
        "resnets1",
    ]


def test_every_kept_gate_is_a_cell(architectures: list[Architecture]) -> None:
    for architecture in architectures:
        bars = [bar for block in blocks(architecture) for sublayer in block.sublayers for bar in sublayer]
        assert len(bars) == len(architecture.space.widths)
        drawn = str(picture(architecture))
        cells = "".join(re.findall(r'class="kept \w" d="([^"]*)"', drawn))
        assert cells.count("z") == sum(sum(bar.keep) for bar in bars if not bar.skipped)
        assert drawn.count('class="gone"') == sum(bar.skipped for bar in bars)


def test_what_is_skipped_is_what_the_code_drops(architectures: list[Architecture]) -> None:
    dense = architectures[0]
    keep = np.ones(dense.space.size, np.bool_)
    column = {gate.module: place for gate, place in dense.space.depth_columns()}
    keep[column["down_blocks.1.attentions.0"]] = False
    skipped = [
        bar.module
        for block in blocks(Architecture(dense.space, keep))
        for sublayer in block.sublayers
        for bar in sublayer
        if bar.skipped
    ]
    assert [module.rpartition(".")[2] for module in skipped] == ["attn1", "attn2", "ff"]
    assert all(module.startswith("down_blocks.1.attentions.0.") for module in skipped)

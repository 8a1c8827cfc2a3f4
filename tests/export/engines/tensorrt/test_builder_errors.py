"""The messages of a builder, worded as users have reported them, and what they are told as."""

import pytest

from export.engines.tensorrt.builder_errors import translated


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error Code 10: Could not find any implementation for node {ForeignNode[x]}.", "lack of GPU memory"),
        ("[defaultAllocator.cpp] Error Code 1: Cuda Runtime (out of memory)", "the GPU ran out of memory"),
        ("OutOfMemory Error in computeCosts: 0", "the GPU ran out of memory"),
        (
            "Error Code 9: Target GPU SM 61 is not supported by this TensorRT release.",
            "does not know this GPU",
        ),
        ("CUDA initialization failure with error: 35", "the driver is older"),
        (
            "ModelImporter.cpp: UNSUPPORTED_NODE: no importer registered for op: Det",
            "does not take the graph",
        ),
        ("Error Code 4: Network has dynamic inputs, but no optimization profile", "does not fit the graph"),
    ],
)
def test_a_message_is_told_by_what_it_means(said, told):
    assert told in str(translated(["Some tactic failed", said], "Invalid Engine"))


def test_memory_comes_before_what_a_lack_of_it_looks_like():
    said = ["Could not find any implementation for node x", "Cuda Runtime (out of memory)"]
    assert "ran out of memory" in str(translated(said, ""))


@pytest.mark.parametrize(("said", "last"), [(["a", "b " * 400], "b b b"), ([], "Invalid Engine")])
def test_what_nobody_knows_is_told_as_it_was_said(said, last):
    message = str(translated(said, "Invalid Engine"))
    assert f"does not know why. It said: {last}" in message
    assert len(message) < 400

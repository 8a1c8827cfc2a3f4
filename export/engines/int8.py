"""An expert in eight bits: OpenVINO's graph, quantized by NNCF on what the expert is given while it draws.

Its function is another than float32's, so the parity ladder has nothing to say about it. Images judge it
(`export.judge`), and until they have, no engine takes it by itself.
"""

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from export.engines import calibration
from export.parity import ladder
from export.parity.ladder import Array
from runtime.engines import openvino

GRAPH, WEIGHTS, RECORD = "int8.xml", "int8.bin", "int8.json"
# At 0.95, NNCF's default, a feed-forward's weights take all of its outliers: expert 0's largest error is 0.19
# then, not 0.05.
SMOOTHING = 0.5
Arrays = dict[str, Array]


def missing() -> str | None:
    """Return why no expert can be quantized here, or None if one can."""
    if reason := openvino.missing():
        return reason
    return None if find_spec("nncf") else "nncf is not installed; install it with `pip install 'aptp[int8]'`"


def write(serving: Path, feeds: Sequence[Arrays], folder: Path) -> list[str]:
    """Quantize the graph at `serving` on `feeds`, write it to `folder`, and return the operators that were
    kept in floating point.

    Weights and activations get eight bits, activations of products that follow a layer norm on smoothed
    scales. Ranges hold all that was seen: activations grow and shrink with the timestep, so the mean of each
    call's extremes, NNCF's default, would clip whole steps of a drawing. On processors without instructions
    for eight bits, sums of two products of full range overflow: weights use half of theirs, so that one file
    computes the same on all.
    """
    # NNCF sends events, unless it finds no telemetry when it is imported; it draws progress on stdout.
    with openvino.silenced(), redirect_stdout(StringIO()):
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            AdvancedSmoothQuantParameters,
            OverflowFix,
        )
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        nncf.set_log_level("ERROR")
        model = openvino.openvino().Core().read_model(str(serving))
        kept = sensitive(model)
        quantized = nncf.quantize(
            model,
            nncf.Dataset(list(feeds)),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(feeds),
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=kept),
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=SMOOTHING),
            ),
        )
    openvino.openvino().save_model(quantized, str(folder / GRAPH), compress_to_fp16=False)
    return kept


def record(folder: Path, prompts: Sequence[str], kept: Sequence[str]) -> None:
    """Write beside the graph what it was calibrated on: prompts that shall not judge it."""
    content = {
        "prompts": list(prompts),
        "steps": calibration.STEPS,
        "solver": calibration.SOLVER,
        "kept": list(kept),
    }
    (folder / RECORD).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sensitive(model: Any) -> list[str]:
    """Return the names of the operators to keep: the first and the last convolution, the products that read
    the time embedding, and the shortcuts of skips at full resolution.

    A shortcut reads two tensors at once, neither of them normalized. In floating point, the two of expert 0
    take its mean error from 0.037 to 0.020, for 3.6 % of its multiplications; no other kind takes as much.
    """
    operators = model.get_ordered_ops()
    convolutions = [one for one in operators if one.get_type_name() == "Convolution"]
    embedding = model.input("time_embedding")
    timed = [port.get_node() for port in embedding.get_target_inputs()]
    resized = [index for index, one in enumerate(operators) if one.get_type_name() == "Interpolate"]
    shortcuts = [one for one in operators[max(resized, default=0) :] if _reads_skip(one)]
    return [one.get_friendly_name() for one in (convolutions[0], convolutions[-1], *timed, *shortcuts)]


def _reads_skip(operator: Any) -> bool:
    """Return whether an operator is a convolution of one pixel that reads two tensors joined."""
    if operator.get_type_name() != "Convolution":
        return False
    joined, weight = (operator.input_value(index) for index in (0, 1))
    return list(weight.get_shape())[2:] == [1, 1] and joined.get_node().get_type_name() == "Concat"


def error(graph: Path, feeds: Sequence[Arrays], wanted: Sequence[Array], threads: int) -> float:
    """Return the largest relative error of the graph on `feeds`. Raises OutputError."""
    opened = openvino.open_model(graph, precision="int8", threads=threads)
    found = (opened.run("out_sample", feed) for feed in feeds)
    return ladder.worst(
        ladder.relative_rms(ladder.check_output(one, "int8"), other)
        for one, other in zip(found, wanted, strict=True)
    )

"""A bundle small enough to write in a test: real graphs, float16 weights, hand-made schedules."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

CHANNELS, WIDTH, LENGTH, SCALE, CODES = 4, 8, 8, 2, 4
WORDS = ["[bos]", "[eos]", "[unk]", "a", "red", "blue", "circle", "square", "large", "small", "and"]
SOLVERS = {"ddim": 1, "plms": 4}
STEPS = 10
# Of ASCII, and as little more as every table needs.
CHARACTERS = {
    "format": "aptp-characters",
    "source": "by hand",
    "letters": [65, 90, 97, 122],
    "numbers": [48, 57],
    "spaces": [9, 13, 32, 32],
    "lower": [[upper, upper + 32] for upper in range(65, 91)],
    "decomposed": [[233, 101, 769]],
    "composed": [[101, 769, 233]],
    "marks": [[769, 769, 230]],
}
PREVIEW = [[0.5, 0.25, 0.0, -0.25, 0.1], [0.0, 0.5, -0.5, 0.25, 0.0], [-0.25, 0.0, 0.5, 0.5, -0.1]]


def write_bundle(
    root: Path, *, experts: Sequence[str] = ("0", "1", "2", "3", "dense"), seed: int = 0
) -> Path:
    """Write a complete bundle with these experts into `root`, and give `root`."""
    rng = np.random.default_rng(seed)
    _write(root / "tokenizer/tokenizer.json", _tokenizer())
    _write(root / "tokenizer/characters.json", json.dumps(CHARACTERS).encode())
    models = {
        "encoder": _save(root / "text_encoder", *_encoder(rng)),
        "router": _save(root / "router", *_router(rng), external=False),
        "decoder": _save(root / "vae_decoder", *_decoder(rng)),
        **{name: _expert(root / f"experts/{name}/unet", rng) for name in experts},
    }
    for solver, window in SOLVERS.items():
        _write(
            root / f"schedules/{solver}.bin",
            b"".join(_rows(n, window).tobytes() for n in range(1, STEPS + 1)),
        )
    sign(root, _manifest(root, models, experts))
    return root


def sign(root: Path, manifest: dict[str, Any]) -> None:
    """Write `manifest`, and the hash that makes a reader believe it."""
    sign_bytes(root, json.dumps(manifest, indent=1).encode())


def sign_bytes(root: Path, data: bytes) -> None:
    """Write any bytes as the manifest, and the hash that makes a reader believe them."""
    (root / "manifest.json").write_bytes(data)
    (root / "manifest.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  manifest.json\n")


def edit(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest of a bundle, and sign it again."""
    manifest = json.loads((root / "manifest.json").read_bytes())
    change(manifest)
    sign(root, manifest)


def relist(root: Path, path: str) -> None:
    """List a file as it is now, and sign the manifest again."""
    edit(root, lambda manifest: manifest["files"].update({path: _entry(root / path)}))


def add_int8(
    root: Path, experts: Sequence[str], graph: bytes = b"<net/>", weights: bytes = b"8", prompts: int = 2
) -> None:
    """Give experts a form in eight bits, calibrated on `calibrated 0`, `calibrated 1`, …"""
    record = {"prompts": [f"calibrated {index}" for index in range(prompts)]}
    for name in experts:
        folder = f"experts/{name}/unet"
        for file, data in (
            ("int8.xml", graph),
            ("int8.bin", weights),
            ("int8.json", json.dumps(record).encode()),
        ):
            _write(root / folder / file, data)
            relist(root, f"{folder}/{file}")
        model = {"graph": f"{folder}/int8.xml", "weights": f"{folder}/int8.bin", "identity": "8" * 64}
        edit(root, lambda manifest, name=name, model=model: manifest["experts"][name].update(int8=model))


def unet_inputs(rows: int, side: int = 8) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return what a call of an expert's engine is given."""
    rng = np.random.default_rng(0)
    shapes = (rows, CHANNELS, side, side), (rows, CHANNELS), (rows, LENGTH, WIDTH)
    sample, time_embedding, states = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return sample, time_embedding, {"encoder_hidden_states": states}


def _manifest(root: Path, models: dict[str, dict[str, str]], experts: Sequence[str]) -> dict[str, Any]:
    def expert(name: str) -> dict[str, Any]:
        model = models[name]
        clock = {"graph": f"experts/{name}/unet/clock.onnx", "identity": model["identity"]}
        return {"model": model, "clock": clock, "parameters": 1000, "macs": 100_000}

    return {
        "format": "aptp-bundle",
        "version": "3.0",
        "kind": "pipeline",
        "producer": {"aptp": "0.1.0", "onnx": onnx.__version__},
        "source": {"name": "synthetic", "checkpoint": "0" * 64, "trained": False},
        "defaults": {"solver": "ddim", "steps": 4, "guidance": 2.5},
        "latent": {"channels": CHANNELS, "height": 8, "width": 8, "multiple": 4, "minimum": 4, "maximum": 16},
        "encoders": [
            {
                "name": "text",
                "model": models["encoder"],
                "inputs": ["input_ids"],
                "output": "last_hidden_state",
                "tokenizer": {
                    "file": "tokenizer/tokenizer.json",
                    "characters": "tokenizer/characters.json",
                    "length": LENGTH,
                    "bos": 0,
                    "eos": 1,
                    "pad": 1,
                },
            }
        ],
        "conditioning": [{"input": "encoder_hidden_states", "encoder": "text"}],
        "router": {
            "kind": "cosine",
            "encoder": "text",
            "model": models["router"],
            "codes": CODES,
            "tie": 1e-5,
        },
        "decoder": {
            "model": models["decoder"],
            "scale": SCALE,
            "scaling_factor": 0.5,
            "shift_factor": 0.0,
            "preview": PREVIEW,
        },
        "dense_macs": 100_000,
        "experts": {name: expert(name) for name in experts},
        "schedules": {
            solver: {
                "table": f"schedules/{solver}.bin",
                "window": window,
                "rows": list(range(1, STEPS + 1)),
                "noise_scale": [1.0] * STEPS,
            }
            for solver, window in SOLVERS.items()
        },
        "files": {
            str(path.relative_to(root)): _entry(path)
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name not in ("manifest.json", "manifest.sha256")
        },
    }


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _tokenizer() -> bytes:
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[unk]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str().encode()


def _rows(steps: int, window: int) -> np.ndarray:
    """Rows that shrink the state and mix in outputs; fractional timesteps, no history before the first.

    Clean latents are told from state and output in shares that change from row to row.
    """
    rows = np.zeros((steps, 4 + 2 * window), "<f4")
    for index in range(steps):
        rows[index, :2] = 1000 * (1 - index / steps) - 0.5, 1 / (1 + 0.1 * index)
        for back in range(min(window, index + 1)):
            rows[index, 2 + back] = 0.9 / 2**back
            rows[index, 2 + window + back] = -0.2 / 3**back
        rows[index, -2:] = (index + 1) / steps, -0.3
    return rows


Graph = tuple[
    list[onnx.NodeProto], list[onnx.ValueInfoProto], list[onnx.ValueInfoProto], dict[str, np.ndarray]
]


def _tensor(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _encoder(rng: np.random.Generator) -> Graph:
    weights = {"table": rng.normal(size=(len(WORDS), WIDTH)), "place": rng.normal(size=(LENGTH, WIDTH)) / 4}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Add", ["words", "place"], ["last_hidden_state"]),
    ]
    inputs = [_tensor("input_ids", TensorProto.INT64, 1, LENGTH)]
    return nodes, inputs, [_tensor("last_hidden_state", TensorProto.FLOAT, 1, LENGTH, WIDTH)], weights


def _router(rng: np.random.Generator) -> Graph:
    """Cosine of the masked sum of the embedding to each code, and the length of that sum."""
    codes = rng.normal(size=(WIDTH, CODES))
    weights = {"codes": codes / np.linalg.norm(codes, axis=0)}
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
        helper.make_node("MatMul", ["mask_row", "embedding"], ["sum3"]),
        helper.make_node("Squeeze", ["sum3", "one"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], ["unit"], axis=-1, p=2),
        helper.make_node("MatMul", ["unit", "codes"], ["similarity"]),
        helper.make_node("ReduceL2", ["sum"], ["distance"], axes=[1], keepdims=0),
    ]
    nodes.insert(2, helper.make_node("Unsqueeze", ["mask", "one"], ["mask_row"]))
    inputs = [
        _tensor("embedding", TensorProto.FLOAT, 1, LENGTH, WIDTH),
        _tensor("attention_mask", TensorProto.INT64, 1, LENGTH),
    ]
    outputs = [_tensor("similarity", TensorProto.FLOAT, 1, CODES), _tensor("distance", TensorProto.FLOAT, 1)]
    return nodes, inputs, outputs, weights


def _expert(folder: Path, rng: np.random.Generator) -> dict[str, str]:
    """Write an expert's three graphs; the portable one begins with its clock."""
    weights = {
        "kernel": rng.normal(size=(CHANNELS, CHANNELS, 3, 3)) / 6,
        "shift": rng.normal(size=(WIDTH, CHANNELS)) / 2,
        "clock": rng.normal(size=(1, CHANNELS)) / 1000,
    }
    nodes, inputs, outputs = _unet()
    clock = [
        helper.make_node("Constant", [], ["last"], value_ints=[1]),
        helper.make_node("Unsqueeze", ["timestep", "last"], ["column"]),
        helper.make_node("MatMul", ["column", "clock"], ["time_embedding"]),
    ]
    timestep = _tensor("timestep", TensorProto.FLOAT, "batch")
    given = [timestep if value.name == "time_embedding" else value for value in inputs]
    model = _save(folder, clock + nodes, given, outputs, weights, serving=(nodes, inputs))
    own = numpy_helper.from_array(weights["clock"].astype("<f2").astype("<f4"), "clock")
    embedding = _tensor("time_embedding", TensorProto.FLOAT, "batch", CHANNELS)
    (folder / "clock.onnx").write_bytes(_model(clock, [timestep], [embedding], [own]))
    return model


def _unet() -> tuple[list[onnx.NodeProto], list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """A convolution, shifted by the time embedding and by the mean of the prompt."""
    nodes = [
        helper.make_node("Conv", ["sample", "kernel"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["encoder_hidden_states"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["pooled", "shift"], ["prompt"]),
        helper.make_node("Add", ["prompt", "time_embedding"], ["vector"]),
        helper.make_node("Constant", [], ["sides"], value_ints=[2, 3]),
        helper.make_node("Unsqueeze", ["vector", "sides"], ["offset"]),
        helper.make_node("Add", ["convolved", "offset"], ["moved"]),
        helper.make_node("Tanh", ["moved"], ["out_sample"]),
    ]
    inputs = [
        _tensor("sample", TensorProto.FLOAT, "batch", CHANNELS, "height", "width"),
        _tensor("time_embedding", TensorProto.FLOAT, "batch", CHANNELS),
        _tensor("encoder_hidden_states", TensorProto.FLOAT, "batch", LENGTH, WIDTH),
    ]
    outputs = [_tensor("out_sample", TensorProto.FLOAT, "batch", CHANNELS, "height", "width")]
    return nodes, inputs, outputs


def _decoder(rng: np.random.Generator) -> Graph:
    weights = {"colours": rng.normal(size=(3, CHANNELS, 1, 1)) / 3}
    nodes = [
        helper.make_node("Conv", ["latent_sample", "colours"], ["small"]),
        helper.make_node("Constant", [], ["scales"], value_floats=[1.0, 1.0, float(SCALE), float(SCALE)]),
        helper.make_node("Resize", ["small", "", "scales"], ["sample"], mode="nearest"),
    ]
    inputs = [_tensor("latent_sample", TensorProto.FLOAT, "batch", CHANNELS, "height", "width")]
    return (
        nodes,
        inputs,
        [_tensor("sample", TensorProto.FLOAT, "batch", 3, "image_height", "image_width")],
        weights,
    )


def _save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray],
    external: bool = True,
    serving: tuple[list[onnx.NodeProto], list[onnx.ValueInfoProto]] | None = None,
) -> dict[str, str]:
    """Write model.onnx (with float16 weights cast where they are used, if external) and serve.onnx.

    `serving`: nodes and inputs of the latter, where they are others.
    """
    place = str(folder.relative_to(folder.parents[2] if "experts" in folder.parts else folder.parent))
    folder.mkdir(parents=True)
    identity = hashlib.sha256(place.encode()).hexdigest()
    if not external:
        initializers = [numpy_helper.from_array(array.astype("<f4"), name) for name, array in weights.items()]
        (folder / "model.onnx").write_bytes(_model(nodes, inputs, outputs, initializers))
        return {"graph": f"{place}/model.onnx", "identity": identity}
    casts = [helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT) for name in weights]
    halves = {f"{name}.half": array.astype("<f2") for name, array in weights.items()}
    (folder / "model.onnx").write_bytes(
        _model(casts + nodes, inputs, outputs, _external(halves, "model.onnx.data", TensorProto.FLOAT16))
    )
    (folder / "model.onnx.data").write_bytes(b"".join(array.tobytes() for array in halves.values()))
    floats = {name: array.astype("<f2").astype("<f4") for name, array in weights.items()}
    nodes, inputs = serving or (nodes, inputs)
    (folder / "serve.onnx").write_bytes(
        _model(nodes, inputs, outputs, _external(floats, "serve.onnx.data", TensorProto.FLOAT))
    )
    names = {"graph": "model.onnx", "weights": "model.onnx.data", "serve": "serve.onnx"}
    return {**{key: f"{place}/{name}" for key, name in names.items()}, "identity": identity}


def _external(arrays: dict[str, np.ndarray], file: str, kind: int) -> list[onnx.TensorProto]:
    tensors, offset = [], 0
    for name, array in arrays.items():
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", file), ("offset", offset), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
        offset += array.nbytes
    return tensors


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> bytes:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString(deterministic=True)


def add_compiled(root: Path, expert: str, *, data: bytes = b"machine code", **fields: Any) -> None:
    """Give an expert a compiled engine, whose file holds `data`; `fields` of its entry are replaced."""
    path = fields.get("file", f"experts/{expert}/unet/aoti.pt2")
    _write(root / path, data)
    relist(root, path)

    def add(manifest: dict[str, Any]) -> None:
        manifest["experts"][expert].setdefault("compiled", []).append(
            {
                "kind": "aoti",
                "file": path,
                "precision": "float32",
                "profile": {"batch": [1, 2, 4], "height": [8, 8, 8], "width": [8, 8, 8]},
                "target": {"device": "cpu"},
                **fields,
            }
        )
        identify(manifest, expert)

    edit(root, add)


def add_supernet(root: Path, codes: dict[str, str], **fields: Any) -> None:
    """Give every expert the one supernet, under its code in bits; `fields` as for `add_compiled`."""
    for name, code in codes.items():
        gates = {"count": len(code), "bits": f"{int(code, 2):0{len(code) // 4}x}"}
        edit(root, lambda manifest, name=name, gates=gates: manifest["experts"][name].update(gates=gates))
        add_compiled(root, name, kind="supernet", file="supernet/aoti.pt2", **fields)


def identify(manifest: dict[str, Any], expert: str) -> None:
    """Write the identities that an expert's compiled engines have."""
    model = manifest["experts"][expert]["model"]
    for entry in manifest["experts"][expert]["compiled"]:
        lines = [f"kind {entry['kind']}", f"precision {entry['precision']}", f"model {model['identity']}"]
        files = [model[name] for name in ("graph", "weights", "serve") if name in model]
        lines += [f"file {manifest['files'][file]['sha256']}" for file in files]
        if entry["kind"] == "supernet":
            lines.append("gates {count} {bits}".format(**manifest["experts"][expert]["gates"]))
        lines += [f"profile {axis} {' '.join(map(str, sizes))}" for axis, sizes in entry["profile"].items()]
        lines += [f"target {name} {value}" for name, value in sorted(entry["target"].items())]
        entry["identity"] = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()

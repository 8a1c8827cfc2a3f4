"""Sessions: an engine opens what was checked, whoever opens it and wherever the file lies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.errors import IntegrityError
from runtime.models import sessions
from runtime.models.cache import Cache
from runtime.models.sessions import Sessions
from runtime.request.params import GenerationParams
from tests.bundles import edit


@pytest.fixture
def swap(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Path]]:
    """Exchange a file before each of the first `times` openings; gives the list of what is opened."""

    def install(name: str, times: int) -> list[Path]:
        real, opened = sessions.open_session, []

        def swapped(graph: Path, *arguments: Any, **options: Any) -> Any:
            file = graph.with_name(name)
            opened.append(graph)
            if len(opened) <= times:
                other = file.with_name("other")
                other.write_bytes(file.read_bytes()[::-1] if name.endswith(".data") else file.read_bytes())
                other.replace(file)
            return real(graph, *arguments, **options)

        monkeypatch.setattr(sessions, "open_session", swapped)
        return opened

    return install


def test_a_cache_entry_swapped_once_is_made_and_opened_again(
    bundle: Bundle, tmp_path: Path, swap: Callable[..., list[Path]]
) -> None:
    model = bundle.manifest.decoder.model
    good = Cache(tmp_path / "good").serving_graph(bundle, model).with_name("serve.onnx.data").read_bytes()
    opened = swap("serve.onnx.data", 1)
    with pytest.warns(UserWarning, match="is damaged and is built again"):
        Sessions(bundle, Cache(tmp_path / "cache")).open(model)
    assert opened[0].with_name("serve.onnx.data").read_bytes() == good


def test_a_cache_entry_swapped_every_time_is_refused(
    bundle: Bundle, tmp_path: Path, swap: Callable[..., list[Path]]
) -> None:
    opened = swap("serve.onnx.data", 9)
    with (
        pytest.warns(UserWarning, match="is damaged and is built again"),
        pytest.raises(IntegrityError, match=r"serve.onnx: was changed while it was being opened, 2 times"),
    ):
        Sessions(bundle, Cache(tmp_path)).open(bundle.manifest.decoder.model)
    assert len(opened) == 2


def test_a_file_exchanged_for_its_equal_is_opened_again(
    copy_path: Path, tmp_path: Path, swap: Callable[..., list[Path]]
) -> None:
    bundle = Bundle.open(copy_path)
    opened = swap("model.onnx", 1)
    Sessions(bundle, Cache(tmp_path / "cache")).open(bundle.manifest.router.model)
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("text_encoder", "model.onnx.data"),
        ("router", "model.onnx"),
        ("experts/0/unet", "clock.onnx"),
        ("vae_decoder", "model.onnx.data"),
    ],
)
def test_whoever_opens_a_swapped_file_refuses_it(
    copy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    def unserved(manifest: dict[str, Any]) -> None:
        for part in (manifest["encoders"][0], manifest["decoder"]):
            part["model"].pop("serve")

    edit(copy_path, unserved)
    real, file = sessions.open_session, copy_path / place / name

    def swapped(graph: Path, *arguments: Any, **options: Any) -> Any:
        session = real(graph, *arguments, **options)
        if graph.parent == copy_path / place:
            file.write_bytes(file.read_bytes()[:-1])
        return session

    monkeypatch.setattr(sessions, "open_session", swapped)
    with pytest.raises(IntegrityError, match=f"{place}/{file.name}"):
        Pipeline.open(copy_path, engine="cpu", cache=tmp_path / "cache").generate(
            "red", GenerationParams(code=0)
        )


def test_an_expert_swapped_while_openvino_opens_it_is_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(graph: Path, **options: Any) -> Any:
        graph.with_name("serve.onnx.data").write_bytes(b"other weights")

    monkeypatch.setattr(sessions.openvino, "open_model", swapped)
    with (
        pytest.warns(UserWarning, match="is damaged and is built again"),
        pytest.raises(IntegrityError, match=r"serve.onnx: was changed while it was being opened, 2 times"),
    ):
        Sessions(bundle, Cache(tmp_path)).open_on(
            "openvino", bundle.manifest.experts["0"].model, overrides={}
        )

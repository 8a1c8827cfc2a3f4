"""The whole command on a checkpoint of two small codes."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.space.profile_file import write
from export.build import __main__ as build
from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.errors import (
    CheckpointError,
    IntegrityError,
    LockedError,
    Refused,
    ScheduleError,
    TableError,
    UsageError,
)
from runtime.files import publish
from runtime.files.lock import locked
from runtime.request.params import GenerationParams
from tests.checkpoints import build_mini, change_weight, command, content, copy_bundle, sign
from tests.profiles import SETTING, counted

pytestmark = pytest.mark.timeout(300)


def plan(capsys, checkpoint, out, **options):
    capsys.readouterr()
    assert build.main(command(checkpoint, out, "--dry-run", "--json", **options)) == 0
    return {entry["part"]: entry["action"] for entry in json.loads(capsys.readouterr().out)}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A bundle of all codes; not to be changed."""
    return build_mini(tmp_path_factory)


@pytest.fixture
def bundle(built, tmp_path):
    """A copy of `built`, with its report, to change."""
    return copy_bundle(built, tmp_path)


def test_a_bundle_verifies_and_makes_images(built):
    bundle = Bundle.open(built)
    bundle.verify()
    assert set(bundle.manifest.experts) == {"0", "1"}
    assert bundle.manifest.defaults.guidance == 3
    assert 0 < bundle.manifest.share("0") < bundle.manifest.share("1") < 1
    assert bundle.manifest.decoder.preview is not None
    with Pipeline.open(built, engine="cpu", cache=built.parent / "cache") as runtime:
        (made,) = runtime.generate("a red circle", GenerationParams(steps=2))
    assert made.pixels.shape == (32, 32, 3)


def test_nothing_is_left_beside_it_but_the_report(built):
    assert sorted(path.name for path in built.parent.iterdir()) == ["bundle", "bundle.report", "cache"]


def test_the_report_holds_every_rung(built):
    report = json.loads((built.with_name("bundle.report") / "report.json").read_text())
    measures = {part["name"]: part["measures"] for part in report["parts"]}
    for code in ("0", "1"):
        assert 0 <= measures[f"experts/{code}"]["masked"] <= 1e-5
        assert 0 < measures[f"experts/{code}"]["onnx"] <= 1e-4
        assert measures[f"images/{code}"]["image"] <= 1e-3
    assert "command" in report["environment"]
    assert "| 0 |" in (built.with_name("bundle.report") / "report.md").read_text()


def test_a_bundle_tells_nothing_of_its_builder(built):
    traces = [os.fsencode(str(path)) for path in (built.parent, os.getcwd())]
    traces += [b"site-packages", b"/home", b"pkg.torch", os.uname().nodename.encode()]
    for path in built.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [trace for trace in traces if trace in data], path


def test_an_unchanged_build_publishes_nothing(mini, bundle, capsys):
    assert set(plan(capsys, mini, bundle).values()) == {"keep"}
    before = bundle.stat().st_ino
    assert build.main(command(mini, bundle)) == 0
    assert bundle.stat().st_ino == before
    assert "up to date" in capsys.readouterr().err


def test_a_profile_says_what_experts_cost(mini, bundle, tmp_path, capsys):
    checkpoint, path = Checkpoint.open(mini), tmp_path / "profile.json"
    setting = replace(SETTING, latent=checkpoint.latent_size, tokens=77)
    write(path, counted(checkpoint.cost(), setting))
    assert build.main(command(mini, bundle, "--cost", str(path), "--json")) == 0
    said = capsys.readouterr()
    cost, found = checkpoint.cost(), json.loads(said.out)["forecasts"]
    for code, architecture in zip("01", checkpoint.architectures, strict=True):
        assert found[code]["share"] == pytest.approx(cost.of(architecture) / cost.dense)
        assert found[code]["advice"] == []
        assert f"experts/{code}: " in said.err
    assert "of dense; no width to align or pad" in said.err
    assert "by the profile" in (bundle.with_name("bundle.report") / "report.md").read_text()


def test_a_profile_of_another_size_is_refused_before_anything_is_built(mini, tmp_path):
    path = tmp_path / "profile.json"
    write(path, counted(Checkpoint.open(mini).cost()))
    with pytest.raises(TableError, match="holds for 8x8 latents"):
        build.main(command(mini, tmp_path / "bundle", "--cost", str(path)))
    assert [one.name for one in tmp_path.iterdir()] == ["profile.json"]


def test_a_lost_report_of_a_published_bundle_is_written_again(mini, bundle):
    """As after a kill between the two: the parts are staged still."""
    parts = bundle.with_name("bundle.build") / "parts"
    report = json.loads((bundle.with_name("bundle.report") / "report.json").read_text())
    for part in report["parts"]:
        for name in part["files"]:
            publish.place(bundle / name, parts / part["key"] / name)
        (parts / part["key"]).mkdir(parents=True, exist_ok=True)
        (parts / part["key"] / "part.json").write_text(json.dumps(part))
    shutil.rmtree(bundle.with_name("bundle.report"))
    before = bundle.stat().st_ino
    assert build.main(command(mini, bundle)) == 0
    assert bundle.stat().st_ino == before
    again = json.loads((bundle.with_name("bundle.report") / "report.json").read_text())
    assert again["parts"] == report["parts"]
    assert not parts.parent.exists()


def test_touched_files_are_not_changed_files(checkpoint, bundle, capsys):
    for path in [*checkpoint.rglob("*"), *bundle.rglob("*")]:
        os.utime(path, (1, 1))
    assert set(plan(capsys, checkpoint, bundle).values()) == {"keep"}


def test_exactly_what_changed_is_rebuilt(checkpoint, bundle, capsys):
    change_weight(checkpoint, "experts/1", 0.25)
    actions = plan(capsys, checkpoint, bundle)
    assert [name for name, action in actions.items() if action == "build"] == ["experts/1", "images/1"]


def test_a_damaged_file_of_the_bundle_is_made_again(mini, bundle, capsys):
    path = bundle / "router" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    actions = plan(capsys, mini, bundle)
    assert [name for name, action in actions.items() if action == "build"] == ["router"]


def test_another_version_of_a_library_changes_everything(mini, bundle, capsys, monkeypatch):
    monkeypatch.setattr("export.build.plan.importlib.metadata.version", lambda name: "0.0")
    assert set(plan(capsys, mini, bundle).values()) == {"build"}


def test_another_engine_has_to_show_parity_anew(mini, bundle, capsys, monkeypatch):
    monkeypatch.setattr("export.build.plan._onnxruntime", lambda: "cpu (onnxruntime 0.0)")
    actions = plan(capsys, mini, bundle)
    assert [name for name, action in actions.items() if action == "keep"] == ["tokenizer", "schedules/ddim"]


def test_one_bad_code_costs_that_code_alone(checkpoint, bundle, capsys):
    change_weight(checkpoint, "experts/1", 1e6)
    assert build.main(command(checkpoint, bundle)) == 1
    said = capsys.readouterr().err
    assert "experts/1: FAILED at load: tensor conv_in.weight holds 1e+06; float16 reaches" in said
    assert "\n   1       -" in said
    assert "FAILED: load" in said
    opened = Bundle.open(bundle)
    opened.verify()
    assert set(opened.manifest.experts) == {"0"}
    actions = plan(capsys, checkpoint, bundle)
    assert [name for name, action in actions.items() if action == "build"] == ["experts/1", "images/1"]


def test_another_build_of_the_same_gives_the_same_bytes_and_dense_is_the_fallback(mini, built, tmp_path):
    out = tmp_path / "bundle"
    assert build.main(command(mini, out, codes="0,dense")) == 0
    manifest = Bundle.open(out).manifest
    assert set(manifest.experts) == {"0", "dense"}
    assert manifest.router.fallback == "dense"
    one, other = content(built), content(out)
    different = {name for name in one.keys() & other.keys() if one[name] != other[name]}
    assert different == {"manifest.json", "manifest.sha256"}
    assert "experts/0/unet/model.onnx" in one.keys() & other.keys()


@pytest.mark.parametrize("codes", ["7", "-1", "alll", "0;1", "", ",", "dense,2"])
def test_unknown_codes_are_usage_errors(mini, tmp_path, codes):
    with pytest.raises(UsageError, match="--codes"):
        build.main(command(mini, tmp_path / "bundle", "--dry-run", codes=codes))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engines", "tensorr"], "--engines"),
        (["--solvers", "dimm"], "'ddim'"),
        (["--solvers", ""], "--solvers"),
        (["--jobs", "0"], "--jobs 0"),
        (["--memory", "12"], "--memory: '12': give an amount above 0 with its unit"),
        (["--memory", "0GiB"], "--memory"),
    ],
)
def test_options_out_of_range_are_usage_errors(mini, tmp_path, words, said):
    with pytest.raises(UsageError, match=said):
        build.main(command(mini, tmp_path / "bundle", "--dry-run", *words))


def test_a_place_that_cannot_be_written_is_refused(mini, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="Not a directory") as caught:
        build.main(command(mini, tmp_path / "file" / "bundle"))
    assert caught.value.exit_code == 3


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere") as caught:
        build.main(command(tmp_path / "nowhere", tmp_path / "bundle", "--dry-run"))
    assert caught.value.exit_code == 3


def test_another_pipeline_is_refused_by_name(checkpoint, tmp_path):
    index = checkpoint / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "StableDiffusionXLPipeline"))
    sign(checkpoint)
    with pytest.raises(Refused, match="StableDiffusionXLPipeline") as caught:
        build.main(command(checkpoint, tmp_path / "bundle", "--dry-run"))
    assert caught.value.exit_code == 3


def test_a_damaged_checkpoint_is_refused_whole(checkpoint, tmp_path):
    path = next((checkpoint / "experts" / "1").glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="experts/1"):
        build.main(command(checkpoint, tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_a_solver_that_is_no_table_is_refused_when_asked_for(checkpoint, bundle):
    path = checkpoint / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "thresholding": True}))
    sign(checkpoint)
    before = content(bundle)
    with pytest.raises(ScheduleError, match="thresholding"):
        build.main(command(checkpoint, bundle))
    assert content(bundle) == before


def test_a_second_build_is_told_who_is_at_work(mini, bundle):
    with (
        locked(bundle.with_name("bundle.build") / "lock", "wait"),
        pytest.raises(LockedError, match=f"locked by pid {os.getpid()}"),
    ):
        build.main(command(mini, bundle))


def test_paths_may_hold_anything(mini, built, tmp_path):
    odd = tmp_path / "a 'b\";\n$(c) o[" / "b]x"  # the slash makes it a closing tag to rich
    odd.mkdir(parents=True)
    out = copy_bundle(built, odd)
    assert build.main(command(mini, out, codes="0")) == 0
    assert set(Bundle.open(out).manifest.experts) == {"0"}

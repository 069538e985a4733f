"""`edge-scnet.toml`: read strictly, its paths taken from its folder; and `check --build` by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.config import project
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import TargetError
from tests.helpers.tool import Run

GOOD = 'model = "net.onnx"\ntargets = ["cpu", "mine.toml"]\nbaselines = "b"\n'


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(
        GOOD + 'calib = "c"\neval = "e"\nout = "o"\nseconds = 2\n[options]\nmean = [0.5]\nname ='
        ' "n"\n[limits]\nmax_drop_pp = 1\n'
    )
    (tmp_path / "net.onnx").touch()
    located = project.load(file)
    assert located.model == str(tmp_path / "net.onnx")
    assert located.path("b") == tmp_path / "b"
    assert located.limits == {"max_drop_pp": 1}
    assert located.project.options.mean == (0.5,)
    assert located.project.seconds == 2.0


def test_options_of_modules_and_the_files_that_they_name(tmp_path: Path) -> None:
    file = tmp_path / "edge-scnet.toml"
    options = (
        '[options]\nweights = "w.pth"\nfix = ["a=m.npy", "b=1", "c=n.npy"]\ninput = ["s=16"]\n'
        '[options.factory_args]\nwidth = 0.5\nname = "x"\n'
    )
    file.write_text(GOOD + options)
    for name in ("w.pth", "m.npy"):
        (tmp_path / name).touch()
    read = project.load(file).options
    assert read.weights == str(tmp_path / "w.pth")
    assert read.fix == (f"a={tmp_path / 'm.npy'}", "b=1", "c=n.npy")
    assert read.input == ("s=16",) and read.factory_args == {"width": 0.5, "name": "x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('model = "x"\nbaselines = "b"\n', "the key targets is missing"),
        ('model = ""\ntargets = ["cpu"]\nbaselines = "b"\n', "model"),
        ('model = "x"\ntargets = []\nbaselines = "b"\n', "targets is empty"),
        ('model = "x"\ntargets = "cpu"\nbaselines = "b"\n', "targets"),
        (
            'model = "x"\ntargets = ["cpu", "own/cpu.toml"]\nbaselines = "b"\n',
            "targets names cpu twice",
        ),
        (GOOD + "baseline = 3\n", "did you mean baselines?"),
        (GOOD + "seconds = 0\n", "seconds is 0"),
        (GOOD + "[options]\nmeen = [0.5]\n", "did you mean options.mean?"),
        (GOOD + '[options]\nmean = ["a"]\n', "options.mean"),
        (GOOD + "[options]\nfactory_args = 3\n", "options.factory_args"),
        (GOOD + "[limits]\nmax_drop = 1\n", "did you mean limits.max_drop_pp?"),
        (GOOD + "[limits]\nmax_drop_pp = -1\n", "limits.max_drop_pp is -1"),
        (GOOD + "limits = 3\n", "limits must be a table"),
        (GOOD + '[check]\nallow = ["weights"]\n', 'allowed: "checkpoint", "images"'),
        (GOOD + '[check]\nallow = "checkpoint"\n', "check.allow"),
        (GOOD + '[check]\nalow = ["checkpoint"]\n', "did you mean check.allow?"),
        (GOOD + "check = 3\n", "check is 3"),
        ("model = \n", "not valid TOML"),
    ],
)
def test_what_it_may_not_hold(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(text)
    with pytest.raises(TargetError) as caught:
        project.load(file)
    assert words in caught.value.message and str(file) in caught.value.message


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "edge-scnet.toml"
    rest = 'calib = "c"\neval = "mine.data:samples"\nseconds = 2\nignore_labels = true\n'
    file.write_text(GOOD + rest + "[options]\nmean = [0.5]\nstd = [0.25]\n")
    located = project.load(file)
    values = {
        "model": None,
        "target": "cpu",
        "calib": "mine",
        "evaluation": None,
        "seconds": 3.0,
        "ignore_labels": False,
        "as_json": True,
        "model_options": ModelOptions(std=(1.0,)),
    }
    made = project.merged(located, values, given={"calib"}, target="mine.toml")
    assert made.values == {
        "model": "net.onnx",
        "target": str(tmp_path / "mine.toml"),
        "calib": "mine",
        "evaluation": "mine.data:samples",
        "seconds": 2.0,
        "ignore_labels": True,
        "as_json": True,
        "model_options": ModelOptions(mean=(0.5,), std=(1.0,)),
    }
    assert set(made.taken) == {
        "model",
        "targets",
        "eval",
        "seconds",
        "ignore_labels",
        "options.mean",
    }
    # a command that takes some of the options gets no other
    few = project.merged(located, values, given=(), target=None, options=("std",))
    assert few.values["model_options"] == ModelOptions(std=(1.0,))
    assert few.values["target"] == "cpu" and few.values["calib"] == str(tmp_path / "c")


def test_what_may_differ_from_the_baselines_and_who_says_so(tmp_path: Path) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(GOOD)
    assert project.load(file).allowed == {}
    file.write_text(GOOD + '[check]\nallow = ["images", "checkpoint"]\n')
    by = f"[check] allow of {file}"
    assert project.load(file).allowed == {"images": by, "checkpoint": by}
    assert project.allowed_kinds(["settings"], "--allow") == {"settings": "--allow"}
    with pytest.raises(TargetError, match=r"--allow chekpoint: .*did you mean checkpoint\?"):
        project.allowed_kinds(["chekpoint"], "--allow")


def test_a_folder_means_the_file_in_it(tmp_path: Path) -> None:
    assert project.file_of(tmp_path) == tmp_path / "edge-scnet.toml"
    assert project.file_of(tmp_path / "x.toml") == tmp_path / "x.toml"


def test_a_missing_file(invoke: Run, tmp_path: Path) -> None:
    outcome = invoke("check", "--build", "--project", tmp_path / "edge-scnet.toml")
    assert outcome.code == 3 and "no project file" in outcome.stderr and outcome.hint


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"preprocess": "imagenet"}, {"name": "n"}),
        ({"resize_mode": "crop"}, {"name": "n", "mean": (0.5,), "crop_fraction": 0.9}),
        ({"resize": 240}, {"name": "n", "mean": (0.5,), "pad_value": (9,)}),
        (
            {"resize_mode": "letterbox"},
            {"name": "n", "mean": (0.5,), "pad_value": (9,)},
        ),
    ],
)
def test_a_name_or_a_mode_of_the_command_line_drops_what_it_replaces(
    tmp_path: Path, said: dict[str, object], kept: dict[str, object]
) -> None:
    file = tmp_path / "edge-scnet.toml"
    keys = 'name = "n"\nmean = [0.5]\npad_value = [9]\ncrop_fraction = 0.9\n'
    file.write_text(f"{GOOD}[options]\n{keys}")
    values = {"model_options": ModelOptions(**said)}
    made = project.merged(project.load(file), values, given=(), target=None)
    assert made.values["model_options"] == ModelOptions(**said, **kept)
    assert set(made.taken) == {f"options.{key}" for key in kept}


def test_the_figures_that_fp32_is_to_have(tmp_path: Path) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(f'{GOOD}expect = ["top1=94.1", "top5=99±0.5"]\n')
    located = project.load(file)
    assert located.settings("cpu")["expect"] == ("top1=94.1", "top5=99±0.5")
    for wrong in ("top1", 'top1=94.1", "top1=93'):
        file.write_text(f'{GOOD}expect = ["{wrong}"]\n')
        with pytest.raises(TargetError, match=r"expect: .*top1"):
            project.load(file)
    # either spelling of the command line wins
    file.write_text(f'{GOOD}expect = ["top1=94.1"]\n')
    located, values = project.load(file), {"expect": None}
    assert project.merged(located, values, given=(), target=None).values["expect"] == ("top1=94.1",)
    for said in ("expect", "expect_top1"):
        made = project.merged(located, values, given=(said,), target=None)
        assert made.values["expect"] is None and "expect" not in made.taken


def test_name_and_figures_are_of_the_files_own_model(tmp_path: Path) -> None:
    file, own, other = (tmp_path / name for name in ("edge-scnet.toml", "a.onnx", "b.onnx"))
    own.touch()
    other.touch()
    keys = '[options]\nname = "mine"\nmean = [0.5]\n'
    file.write_text(
        'model = "a.onnx"\ntargets = ["cpu"]\nbaselines = "b"\nexpect = ["top1=9"]\n' + keys
    )

    def made(model: str) -> project.Merged:
        values = {"model": model, "expect": None, "model_options": ModelOptions()}
        return project.merged(project.load(file), values, given=("model",), target=None)

    for same in ("a.onnx", str(own)):
        kept = made(same)
        assert kept.values["model_options"].name == "mine"
        assert kept.values["expect"] == ("top1=9",)
    left = made(str(other))
    assert left.values["model_options"] == ModelOptions(mean=(0.5,))
    assert left.values["expect"] is None
    assert set(left.taken) == {"options.mean"}


@pytest.mark.parametrize(
    ("device", "folder"), [("orin-1", "@orin-1"), ("me@10.0.0.7:2222", "@me@10.0.0.7-2222")]
)
def test_on_a_device_of_a_fleet_results_and_baselines_have_its_own_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, folder: str
) -> None:
    file = tmp_path / project.FILE
    file.write_text('model = "m"\ntargets = ["cpu"]\nbaselines = "baselines"\n')
    monkeypatch.setenv("EDGE_SCNET_DEVICE", device)
    read = project.load(file).project
    assert (read.out, read.baselines) == (f"build/{folder}", f"baselines/{folder}")
    monkeypatch.setenv("EDGE_SCNET_DEVICE", "../../etc")
    assert project.load(file).project.out == "build/@..-..-etc"
    monkeypatch.setenv("EDGE_SCNET_DEVICE", "")
    assert project.load(file).project.out == "build"

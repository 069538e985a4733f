"""`init` and `show` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from edge_scnet.config import project as projects
from edge_scnet.config.model_options import ModelOptions
from tests.helpers.images import folder
from tests.helpers.onnx_files import user_model, written
from tests.helpers.tool import MODEL, Run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network of four classes and images of two folders, where commands run."""
    written(tmp_path, user_model())
    for role, count in (("calib", 50), ("eval", 5)):
        for name in ("a", "b", "c", "d") if role == "eval" else ("a", "b"):
            seed = 1000 * ord(name) + count
            folder(tmp_path / role / name, [f"{i}.png" for i in range(count)], seed=seed)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ("--calib", "calib", "--eval", "eval")


def test_init_writes_a_file_that_is_read(invoke: Run, here: Path) -> None:
    outcome = invoke("init", "net.onnx", *DATA)
    assert outcome.code == 0, outcome.stderr
    assert "net, input 3 x 8 x 8, 4 classes; calib 100" in outcome.stdout
    assert "next: edge-scnet show --project\n      edge-scnet build --project\n" in outcome.stdout
    located = projects.load(here / "edge-scnet.toml")
    project = located.project
    assert (project.model, project.targets, project.baselines) == (
        "net.onnx",
        ("cpu",),
        "baselines",
    )
    assert (project.calib, project.eval) == ("calib", "eval")
    options = project.options
    assert (options.input_shape, options.num_classes) == ((3, 8, 8), 4)
    # what nothing tells is a comment: set, a guess would be a fact
    assert options.mean is None and options.class_names is None
    text = (here / "edge-scnet.toml").read_text()
    assert "trained with)\n# mean = [0.485, 0.456, 0.406]" in text
    assert '# class_names = ["a", "b", "c", "d"]' in text and "# max_drop_pp = 0.5" in text
    assert "(read from the file)\ninput_shape = [3, 8, 8]" in text
    told = " ".join(text.replace("\n#", "").split())
    assert "told from the labels (folders in sorted order are the classes)) task =" in told
    assert invoke("verify", "edge-scnet.toml").code == 0
    shown = invoke("show", "--project", "--json")
    rows = {(row["section"], row["name"]): row for row in json.loads(shown.stdout)["values"]}
    assert rows["model", "input_shape"]["origin"] == "edge-scnet.toml"
    assert rows["preprocessing", "mean"]["origin"] == "default"
    assert rows["data", "calib"] == {
        "section": "data",
        "name": "calib",
        "value": "calib",
        "origin": "edge-scnet.toml",
    }


def test_init_overwrites_nothing(invoke: Run, here: Path) -> None:
    (here / "edge-scnet.toml").write_text("mine")
    outcome = invoke("init", "net.onnx", *DATA)
    assert outcome.code == 3 and "edge-scnet.toml is there already" in outcome.stderr
    assert "--out edge-scnet-2.toml" in outcome.hint and "--force" in outcome.hint
    assert (here / "edge-scnet.toml").read_text() == "mine"
    assert invoke("init", "net.onnx", "--out", "edge-scnet-2.toml").code == 0
    assert invoke("init", "net.onnx", "--force").code == 0
    project = projects.load(here / "edge-scnet.toml").project
    assert project.calib is None and "# calib = " in (here / "edge-scnet.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("net.onx",), 6, "net.onx"),
        (("net.onnx", "--calib", "nowhere"), 4, "nowhere does not exist"),
        (("net.onnx", "--calib", "eval"), 4, "20"),  # fewer than 100
        (("net.onnx", "--target", "cpus"), 3, "did you mean cpu?"),
        (("net.onnx", "--mean", "0.5"), 6, "--mean has 1 values"),
        (("net.onnx", "--num-classes", "5"), 6, "--num-classes says 5"),
        (("net.onnx", "--out", "project.json"), 3, "ends in .toml"),
        (("net.onnx", "--out", "no/edge-scnet.toml"), 9, "there is no folder no"),
    ],
)
def test_init_refuses(
    invoke: Run, here: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    outcome = invoke("init", *arguments)
    assert outcome.code == code and words in outcome.stderr and outcome.hint
    assert not list(here.glob("*.toml"))


def test_init_takes_paths_from_the_files_folder(invoke: Run, here: Path) -> None:
    (here / "conf").mkdir()
    outcome = invoke("init", "net.onnx", *DATA, "--out", "conf", "--json")
    assert outcome.code == 0, outcome.stderr
    made = json.loads(outcome.stdout)
    assert made["file"] == "conf/edge-scnet.toml"
    # outside the folder a path is whole
    located = projects.load(here / "conf" / "edge-scnet.toml")
    assert located.project.model == str(here / "net.onnx") == located.model
    assert invoke("init", "net.onnx", "--target", "cpu", "--target", "cpu").code == 3


def test_show_says_where_each_value_is_from(invoke: Run, here: Path) -> None:
    outcome = invoke("show", "net.onnx", "--mean", "0.1,0.2,0.3", "--eval", "eval")
    assert outcome.code == 0, outcome.stderr
    rows = {
        line.split()[0]: line.split(maxsplit=1)[1] if " " in line.strip() else ""
        for line in outcome.stdout.splitlines()
    }
    assert rows["mean"].split() == ["0.1,", "0.2,", "0.3", "command", "line"]
    assert rows["std"].endswith("default") and rows["input_shape"].endswith("file")
    assert rows["eval"].split() == ["eval", "command", "line"]
    assert rows["runtime"].split() == ["openvino", "targets/cpu.toml"]
    assert Path(rows["file"].removesuffix("default").strip()).is_file()
    assert rows["batch"].split() == ["1", "default"]
    order = [line for line in outcome.stdout.splitlines() if not line.startswith(" ")]
    assert order == ["model", "preprocessing", "data", "task", "target"]


def test_show_refuses_what_a_build_would(invoke: Run, here: Path) -> None:
    ready = invoke("show", "net.onnx", "--preprocess", "yolo", "--json")
    rows = {row["name"]: row for row in json.loads(ready.stdout)["values"]}
    assert rows["resize"]["origin"] == "command line (preprocess yolo)"
    assert rows["exif"]["origin"] == "default"
    assert invoke("show", "net.onnx", "--num-classes", "5").code == 6
    assert invoke("show", "net.onnx", "--target", "nowhere").code == 3
    (here / "edge-scnet.toml").write_text(
        'model = "net.onnx"\ntargets = ["cpu"]\nbaselines = "b"\n[options]\nmean = [0.5]\n'
    )
    outcome = invoke("show", "--project")
    assert outcome.code == 6 and outcome.hint.endswith("(options.mean: from edge-scnet.toml)")


def test_a_bundled_model_has_all_its_values(invoke: Run, here: Path) -> None:
    outcome = invoke("init", "scnet20-fashion-mnist")
    assert outcome.code == 0, outcome.stderr
    text = (here / "edge-scnet.toml").read_text()
    assert projects.load(here / "edge-scnet.toml").project.options == ModelOptions()
    assert "told by the bundled model, and cannot be changed)\n# num_classes = 10" in text
    shown = invoke("show", "--project")
    assert shown.code == 0 and "fashion-mnist/calib" in shown.stdout


def test_options_that_are_given_are_written(invoke: Run, here: Path) -> None:
    (here / "names.txt").write_text("a\nb\nc\nd\n")
    options = ["--mean", "0,0,0", "--resize", "9", "--task-args", '{"threshold": 0.5}']
    options += ["--class-names", "names.txt", "--task", "classification"]
    outcome = invoke("init", "net.onnx", *options, "--ignore-labels")
    assert outcome.code == 0, outcome.stderr
    project = projects.load(here / "edge-scnet.toml").project
    assert project.ignore_labels and not project.skip_bad
    assert project.options == ModelOptions(
        input_shape=(3, 8, 8),
        num_classes=4,
        mean=(0.0, 0.0, 0.0),
        resize=9,
        class_names=("a", "b", "c", "d"),
        task="classification",
        task_args={"threshold": 0.5},
        name="net",
    )
    null = ["--task", "binary", "--task-args", '{"threshold": null}']
    bad = invoke("init", "net.onnx", "--force", *null)
    assert bad.code == 3 and "null cannot be written" in bad.stderr


def test_show_says_that_the_short_side_hangs_on_the_data_and_init_looks(
    invoke: Run, here: Path
) -> None:
    def origin(*arguments: str) -> str:
        rows = json.loads(invoke("show", *arguments, "--json").stdout)["values"]
        (found,) = (row["origin"] for row in rows if row["name"] == "short_side")
        return found

    words = "256/224 by default; none where all pictures have the input's size"
    assert origin("net.onnx") == words
    assert origin("net.onnx", "--resize", "9") != words
    small = here / "small"
    folder(small, [f"{i}.png" for i in range(100)], seed=1)
    for file in small.iterdir():
        Image.open(file).resize((8, 8)).save(file)
    assert invoke("init", "net.onnx", "--calib", "small").code == 0
    text = (here / "edge-scnet.toml").read_text().replace("\n#", "")
    assert "(not resized: all pictures have the input's size) resize = 8" in " ".join(text.split())


def test_the_preprocessing_of_a_bundled_model_is_its_own(invoke: Run) -> None:
    rows = json.loads(invoke("show", MODEL, "--json").stdout)["values"]
    origins = {row["origin"] for row in rows if row["section"] == "preprocessing"}
    assert origins == {"bundled model"}


def test_init_writes_folders_of_images_from_where_they_are_read(invoke: Run, here: Path) -> None:
    (here / "lists").mkdir()
    rows = "".join(f"{i}.png,0\n" for i in range(5))
    (here / "lists" / "e.csv").write_text(f"path,label\n{rows}")
    outcome = invoke("init", "net.onnx", "--eval", "lists/e.csv", "--images", "eval/a")
    assert outcome.code == 0, outcome.stderr
    text = (here / "edge-scnet.toml").read_text()
    assert 'eval = "lists/e.csv?images=../eval/a"' in text
    assert '= ""' not in text
    assert invoke("data", "check", "--project").code == 0

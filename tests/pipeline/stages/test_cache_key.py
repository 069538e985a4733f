"""The code that decides what a stage makes: what it imports, and nothing else."""

from __future__ import annotations

import ast
import functools
import shutil
from pathlib import Path

import pytest

from edge_scnet.pipeline.stages.cache_key import CODE, PACKAGE, Keyed, code_hash, library_versions

# The modules that make the files of a stage.
MODULES: dict[Keyed, tuple[str, ...]] = {
    "export": ("pipeline/stages/export",),
    "calibrate": ("pipeline/stages/calibrate",),
    "quantize": ("pipeline/stages/quantize", "pipeline/stages/adopt"),
    "recover": ("pipeline/stages/recover",),
    "compile": (
        "pipeline/stages/compile",
        "pipeline/stages/compile_half",
        "pipeline/stages/compile_plans",
    ),
    "sensitivity": ("pipeline/search",),
}


@functools.cache
def imported_by(module: Path) -> frozenset[Path]:
    """The files of the package that a module imports when it runs, in functions as well."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: list[str] = []
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import, which this does not follow"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return frozenset(file for name in names for file in files_of(name))


def files_of(name: str) -> list[Path]:
    """The files that importing a name runs: its packages, and the module that it is or is in."""
    first, *parts = name.split(".")
    if first != PACKAGE.name:
        return []
    files, place = [PACKAGE / "__init__.py"], PACKAGE
    for part in parts:
        place = place / part
        if place.is_dir():
            files.append(place / "__init__.py")
        elif place.with_suffix(".py").is_file():
            files.append(place.with_suffix(".py"))
    return files


def everything_imported(modules: tuple[str, ...]) -> set[Path]:
    """The modules and all that they import, directly and through others."""
    found: set[Path] = set()
    waiting = {PACKAGE / f"{module}.py" for module in modules}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= imported_by(module) - found
    return found


def unit(file: Path) -> str:
    """What a module is hashed with: its package, or of the pipeline and the top it alone."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return parts[0] if len(parts) > 1 and parts[0] != "pipeline" else "/".join(parts)


@pytest.mark.parametrize("stage", MODULES)
def test_a_stage_hashes_what_it_imports_and_nothing_else(stage: Keyed) -> None:
    imported = {unit(file) for file in everything_imported(MODULES[stage])}
    assert set(CODE[stage]) == imported


def test_stages_that_run_samples_in_onnx_runtime_know_its_version() -> None:
    for stage in MODULES:
        runs = stage != "compile"
        assert ("onnxruntime" in library_versions(stage)) is runs, stage


def test_engines_know_what_writes_their_graphs_and_of_runtimes_their_own_alone() -> None:
    assert library_versions("compile").keys() == {"onnx-ir"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package; a test that edits it undoes that."""
    ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
    place = tmp_path_factory.mktemp("copy") / PACKAGE.name
    return Path(shutil.copytree(PACKAGE, place, ignore=ignored))


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[Keyed, str]:
    """The hash of each stage's code, unchanged."""
    return {stage: code_hash(stage, copy) for stage in MODULES}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("report/page.py", set()),
        ("report/page.html.j2", set()),
        ("config/target.py", {"export", "quantize", "compile", "sensitivity"}),
        ("cli/show.py", set()),
        ("gate/check.py", set()),
        ("profiler/measure.py", set()),
        ("pipeline/assemble.py", set()),
        ("pipeline/stages/compile.py", {"compile"}),
        ("pipeline/stages/export.py", {"export"}),
        ("export/from_torch.py", {"export", "quantize"}),
        ("models/zoo.py", {"export"}),
        ("compile/build.sh", {"compile", "sensitivity"}),
        ("quantizer/write.py", set(MODULES) - {"export"}),
        ("sensitivity/search.py", {"sensitivity"}),
        ("recovery/train.py", {"recover"}),
        ("graph/model.py", set(MODULES)),
        ("core/facts.py", set(MODULES)),
        ("__about__.py", set(MODULES)),
    ],
)
def test_a_change_reruns_the_stages_that_it_can_change(
    copy: Path, before: dict[Keyed, str], file: str, changed: set[Keyed]
) -> None:
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content + b"\n# another word\n")
    code_hash.cache_clear()
    try:
        after = {stage: code_hash(stage, copy) for stage in MODULES}
    finally:
        (copy / file).write_bytes(content)
        code_hash.cache_clear()
    assert {stage for stage in MODULES if before[stage] != after[stage]} == changed


def test_the_copy_hashes_as_the_package_does(copy: Path) -> None:
    assert all(code_hash(stage, copy) == code_hash(stage) for stage in MODULES)

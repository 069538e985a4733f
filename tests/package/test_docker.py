"""The image of a package: its Dockerfile names what is there, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from edge_scnet.package import docker
from edge_scnet.pipeline.package import facts_of
from tests.helpers.hostile import NAMES, check_fit
from tests.helpers.packages import NAMED, ir_build

# https://docs.docker.com/reference/dockerfile
INSTRUCTIONS = {"FROM", "ENV", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT"}


def test_the_dockerfile_copies_what_the_package_has(tmp_path: Path) -> None:
    made = docker.contents(facts_of(ir_build(tmp_path / "build")))
    text = str(made["Dockerfile"])
    comment, *lines = text.splitlines()
    assert comment.startswith("# docker build -t net . && docker run --rm ")
    assert {line.split()[0] for line in lines} == INSTRUCTIONS
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    assert copied <= made.keys()
    assert made.keys() - copied == {"Dockerfile", "README.md"}
    # no line after USER runs as root
    assert lines.index("USER 1000") > max(i for i, line in enumerate(lines) if "RUN" in line)
    assert '"python", "/app/run.py"' in lines[-1]


def test_any_models_name_becomes_an_images(tmp_path: Path) -> None:
    for number, name in enumerate((*NAMES, "Net V2.1__x", "日本語", "-.-")):
        spec = replace(NAMED, name=name)
        made = docker.contents(facts_of(ir_build(tmp_path / str(number), spec)))
        found = re.search(r"docker build -t (\S+) \.", str(made["Dockerfile"]))
        assert found is not None and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", found[1])
        for content in made.values():
            if isinstance(content, str):
                check_fit(content)

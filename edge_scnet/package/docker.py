"""The format `docker`: the Python program and its engine in an image, for a user without rights."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge_scnet.package import python
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Content, Format
from edge_scnet.package.readme import readme

_DOCKERFILE = """# {line}
FROM python:3.12-slim-bookworm
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
COPY requirements.txt /app/
RUN pip install -r /app/requirements.txt && useradd --uid 1000 app
COPY {files} /app/
USER 1000
WORKDIR /pictures
ENTRYPOINT ["python", "/app/{program}"]
"""


def contents(facts: PackageFacts) -> Mapping[str, Content]:
    """The files of the package.

    Raises:
        ArtifactError: the network takes no pictures.
    """
    files = dict(python.contents(facts))
    name = _image_name(facts)
    steps = (
        f"docker build -t {name} .",
        f'docker run --rm --network none -v "$PWD:/pictures:ro" {name} photo.jpg',
    )
    copied = [each for each in files if each not in (python.REQUIREMENTS, "README.md")]
    files["Dockerfile"] = _DOCKERFILE.format(
        line=" && ".join(steps), files=" ".join(copied), program=python.PROGRAM
    )
    files["README.md"] = readme(
        FORMAT,
        facts,
        steps="\n".join(steps),
        notes=("The image has Python and the runtime, and runs as user 1000.", python.PICTURES),
    )
    return files


def _image_name(facts: PackageFacts) -> str:
    """A name that Docker takes: small letters, digits and single hyphens."""
    return re.sub("[^a-z0-9]+", "-", facts.plain_name.lower()).strip("-") or "engine"


FORMAT = Format(
    name="docker",
    title="an image for Docker",
    runtimes=("openvino", "onnxruntime"),
    contents=contents,
)

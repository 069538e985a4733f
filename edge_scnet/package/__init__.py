"""Folders that run without edge-scnet, made of what a build's manifest and report say alone.

Nothing is imported here: the command line names the formats. A new one is a module with an object
`FORMAT` (`form.Format`), and a line below.
"""

FORMATS: dict[str, str] = {
    "cpp": "edge_scnet.package.cpp",
    "python": "edge_scnet.package.python",
    "docker": "edge_scnet.package.docker",
    "ovms": "edge_scnet.package.ovms",
    "triton": "edge_scnet.package.triton",
    "deepstream": "edge_scnet.package.deepstream",
}

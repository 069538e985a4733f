"""What the code uses of TensorRT's Python package, read from its source."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from edge_scnet.runtimes.tensorrt import builder, open_output, session

# The classes of the objects that these variables (and attributes, behind an underscore) hold.
_CLASSES = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "error": "ParserError",
    "inspector": "EngineInspector",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "runtime": "Runtime",
    "tensor": "ITensor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Names of the package, "Builder", and of its classes, "Builder.create_network"."""

    names: set[str] = field(default_factory=set)
    # looked up with getattr or hasattr somewhere
    looked_up: set[str] = field(default_factory=set)
    # methods that subclasses here define, which TensorRT calls
    overridden: set[str] = field(default_factory=set)


def used() -> Used:
    """Reads the modules that touch the package."""
    found = Used()
    for module in (builder, open_output, session):
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and (name := _name(node)):
                found.names.add(name)
            elif isinstance(node, ast.Call):
                found.looked_up.update(_looked_up(node))
            elif isinstance(node, ast.ClassDef):
                found.overridden.update(_overridden(node))
    return found


def _name(node: ast.expr) -> str | None:
    """The name of an attribute of the package or one of its objects; of anything else, None."""
    if not isinstance(node, ast.Attribute):
        return None
    base = _variable(node.value)
    if base == "trt":
        return None if node.attr.startswith("__") else node.attr
    if base in _CLASSES:
        return f"{_CLASSES[base]}.{node.attr}"
    inner = _name(node.value)
    known = inner is not None and "." not in inner and not node.attr.startswith("__")
    return f"{inner}.{node.attr}" if known else None


def _variable(node: ast.expr) -> str | None:
    """ "engine" of `engine` and of `self._engine`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr.removeprefix("_") if node.value.id == "self" else None
    return None


def _looked_up(node: ast.Call) -> set[str]:
    """What getattr or hasattr ask for by a literal name."""
    function = node.func.id if isinstance(node.func, ast.Name) else ""
    if function not in ("getattr", "hasattr") or not isinstance(node.args[1], ast.Constant):
        return set()
    asked = ast.Attribute(value=node.args[0], attr=str(node.args[1].value), ctx=ast.Load())
    name = _name(asked)
    return {name} if name else set()


def _overridden(node: ast.ClassDef) -> set[str]:
    """The methods of a subclass of one of the package's classes."""
    bases = [name for base in node.bases if (name := _name(base))]
    methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
    return {f"{base}.{name}" for base in bases for name in methods if not name.startswith("_")}

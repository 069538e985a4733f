"""Fills the reference from what the tool itself knows, as the site is built (mkdocs.yml, hooks).

A page holds `<!-- generated: NAME -->`; in its place comes what a function below makes of the
command line, of the records of target and project files, of the exit codes and of the JSON Schemas.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from edge_scnet.cli import outputs
from edge_scnet.cli.root import app
from edge_scnet.config.gates import Gates
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.project import CheckSettings, Project
from edge_scnet.config.target import Board, InputSettings, QuantScheme, TargetSpec, list_targets
from edge_scnet.devices.device import DeviceTable
from edge_scnet.errors import ExitCode

_MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_MODEL_OPTIONS = frozenset(ModelOptions.__dataclass_fields__)
# Schemas of their own; the others are short, or made of these.
_WITHOUT_KEYS = ("schemas",)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the generated parts in the place of their marks."""

    def made(found: re.Match[str]) -> str:
        if found[1] not in PARTS:
            raise ValueError(f"nothing generates {found[1]}; there are {', '.join(PARTS)}")
        return "\n".join(PARTS[found[1]]())

    return _MARK.sub(made, markdown)


# --- the command line


def commands() -> Iterator[str]:
    """Every command in its group, with its examples and options."""
    root, context = _root()
    groups: dict[str, list[tuple[Any, Any]]] = {}
    for command, own in _leaves(root, context):
        parent = own.parent.command
        shown = command if parent is root else parent
        group = getattr(shown, "rich_help_panel", None)
        groups.setdefault(group if isinstance(group, str) else "Commands", []).append(
            (command, own)
        )
    for group, members in groups.items():
        yield f"## {group}\n"
        for command, own in members:
            yield from _command(command, own)
    yield from _model_options(groups)


def _root() -> tuple[Any, Any]:
    from typer.main import get_command

    root: Any = get_command(app)
    return root, root.context_class(root, info_name="edge-scnet")


def _leaves(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        own = command.context_class(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from _leaves(command, own)
        else:
            yield command, own


def _name(context: Any) -> str:
    return str(context.command_path).removeprefix("edge-scnet ")


def _command(command: Any, context: Any) -> Iterator[str]:
    name = _name(context)
    at = name.replace(" ", "-")
    yield f"### {name} {{ #{at} }}\n"
    usage = " ".join(["edge-scnet", name, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    for paragraph in re.split(r"\n\s*\n", command.help or ""):
        yield _plain(" ".join(paragraph.split())) + "\n"
    if command.epilog:
        yield f"```sh\n{command.epilog.strip()}\n```\n"
    panels: dict[str, list[Any]] = {"Arguments": [], "Options": []}
    shared = []
    for parameter in _shown(command, context):
        if _is_of_model(parameter):
            shared.append(parameter)
        else:
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            if parameter.param_type_name == "argument":
                panel = "Arguments"
            panels.setdefault(panel, []).append(parameter)
    for panel, parameters in panels.items():
        if parameters:
            yield f"**{panel}**\n"
        for parameter in parameters:
            yield from _parameter(parameter, context, at)
    if shared:
        links = (f"[`{_option(item)}`](#model{_option(item)})" for item in shared)
        yield f"**[Options of the model](#options-of-the-model)**: {', '.join(links)}\n"


def _shown(command: Any, context: Any) -> list[Any]:
    return [
        parameter
        for parameter in command.get_params(context)
        if parameter.name != "help" and parameter.get_help_record(context) is not None
    ]


def _is_of_model(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and parameter.name in _MODEL_OPTIONS


def _option(parameter: Any) -> str:
    """The long spelling."""
    return str(next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0]))


def _parameter(parameter: Any, context: Any, at: str) -> Iterator[str]:
    spelled, told = parameter.get_help_record(context)
    if parameter.param_type_name == "argument":
        spelled = parameter.metavar or spelled
    spelled = spelled.replace("<str>", "TEXT").replace("<int range>", "N")
    spelled = spelled.replace("<float range>", "X").replace("<int>", "N").replace("<float>", "X")
    anchor = "-" + str(parameter.name) if parameter.opts[0][:1] != "-" else _option(parameter)
    yield f'<span id="{at}{anchor}"></span>`{spelled}`'
    yield f":   {_told(told)}\n"


def _told(text: str) -> str:
    """The help of a parameter; its default and bounds, which stand in brackets, as sentences."""
    found = re.fullmatch(r"(.*?)\s*(?:\[([^\[\]]*)\])?", text, re.DOTALL)
    assert found is not None
    words, extras = found[1], found[2] or ""
    more = []
    for extra in extras.split("; "):
        if default := re.fullmatch(r"default: (.*)", extra):
            if not default[1].startswith("no-"):
                more.append(f"Default: `{default[1]}`.")
        elif bounds := re.fullmatch(r"(\S+?)<=x<=(\S+)", extra):
            more.append(f"{_number(bounds[1])} to {_number(bounds[2])}.")
        elif extra:
            more.append(_plain(extra[0].upper() + extra[1:]) + ".")
    return " ".join([_plain(words), *more])


def _model_options(groups: Mapping[str, list[tuple[Any, Any]]]) -> Iterator[str]:
    """What a user says of a model: the same with every command that takes it, so written once."""
    seen: dict[str, tuple[Any, Any]] = {}
    for members in groups.values():
        for command, own in members:
            for parameter in _shown(command, own):
                if _is_of_model(parameter):
                    seen.setdefault(parameter.name, (parameter, own))
    yield "## Options of the model\n"
    yield "They mean the same with every command that takes them, and in"
    yield "[`[options]` of a project file](project.md#options).\n"
    panels: dict[str, list[str]] = {}
    for name in ModelOptions.__dataclass_fields__:
        if name in seen:
            parameter, own = seen[name]
            panel = getattr(parameter, "rich_help_panel", None) or ""
            panels.setdefault(panel, []).extend(_parameter(parameter, own, "model"))
    for panel, lines in panels.items():
        if panel:
            yield f"**{panel}**\n"
        yield from lines


# --- the keys of files


def target_keys() -> Iterator[str]:
    """The keys of a target file, by table."""
    yield from _keys(TargetSpec, "", without=("name", "quant", "board", "input", "gates"))
    tables = {"quant": QuantScheme, "input": InputSettings, "board": Board, "gates": Gates}
    for table, record in tables.items():
        yield f"## [{table}] {{ #{table} }}\n"
        yield _document(record) + "\n"
        yield from _keys(record, f"{table}-")


def targets() -> Iterator[str]:
    """The targets that come with the tool."""
    for target in list_targets():
        yield f'<span id="target-{target.name}"></span>`{target.name}`: {_plain(target.title)}'
        yield f":   {_plain(target.why)}\n"


def project_keys() -> Iterator[str]:
    """The keys of a project file, by table."""
    yield from _keys(Project, "", without=("options", "check"))
    yield "## [options] { #options }\n"
    yield "What is said of the model; as the options of the command line.\n"
    yield from _keys(ModelOptions, "options-")
    yield "## [check] { #check }\n"
    yield _document(CheckSettings) + "\n"
    yield from _keys(CheckSettings, "check-")


def _document(record: type) -> str:
    """The docstring without the sections behind its first paragraphs."""
    text = re.split(r"\n\s*(?:Raises|Args):", record.__doc__ or "")[0]
    return _plain(" ".join(text.split()))


def _keys(record: type, at: str, *, without: tuple[str, ...] = ()) -> Iterator[str]:
    (_,), defined = msgspec.json.schema_components([record], ref_template="{name}")
    own = defined[record.__name__]
    for name, schema in own["properties"].items():
        if name in without:
            continue
        if "description" not in schema:
            raise ValueError(f"{record.__name__}.{name} has no description: Meta(description=...)")
        yield f'<span id="{at}{name}"></span>`{name}`: {_kind(schema)}'
        told = _sentence(schema["description"])
        yield f":   {told} {_default(schema, name in own.get('required', ()))}\n"


def _default(schema: Mapping[str, Any], required: bool) -> str:
    if required:
        return "Required."
    value = schema.get("default")
    if value is None:
        return ""
    return f"Default: `{msgspec.json.encode(value).decode()}`."


# --- exit codes


def exit_codes() -> Iterator[str]:
    """Every exit code and what it says."""
    yield "| Code | Meaning |\n|---|---|"
    for code in ExitCode:
        yield f"| {int(code)} | {_sentence(code.meaning)} |"


# --- JSON


def json_keys() -> Iterator[str]:
    """The keys of every JSON object that is printed or kept, record by record."""
    written: dict[str, Any] = {}
    for name, document in outputs.DOCUMENTS.items():
        if name in _WITHOUT_KEYS:
            continue
        schema = outputs.schema_of_kind(name)
        yield f"## {name}\n"
        yield f"Schema {document.schema}, [as JSON Schema](../schemas/{name}.json). Written by:"
        yield f"{_plain(document.where)}.\n"
        forms = schema.get("anyOf", [schema])
        places = _places(schema.get("$defs", {}), written, name)
        for form in forms:
            yield from _record(form, places)
        for title, record in schema.get("$defs", {}).items():
            if places[title] not in written:
                written[places[title]] = record
                yield f"### {title} {{ #{places[title]} }}\n"
                yield from _record(record, places)


def _places(defined: Mapping[str, Any], written: Mapping[str, Any], kind: str) -> dict[str, str]:
    """The anchor of each record; records that several kinds have alike stand once."""
    places = {}
    for title, record in defined.items():
        plain = title.lower()
        places[title] = plain if written.get(plain, record) == record else f"{kind}-{plain}"
    return places


def _record(record: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    if "description" in record:
        yield _sentence(record["description"]) + "\n"
    if "properties" not in record:
        yield _kind(record, places) + "\n"
        return
    for name, schema in record["properties"].items():
        optional = "" if name in record.get("required", ()) else " May be missing."
        told = f" {_sentence(schema['description'])}" if "description" in schema else ""
        yield f"- `{name}` ({_kind(schema, places)}).{told}{optional}"
    yield ""


# --- words


def _kind(schema: Mapping[str, Any], places: Mapping[str, str] | None = None) -> str:
    """What a JSON Schema allows, in words."""
    if "$ref" in schema:
        title = str(schema["$ref"]).rpartition("/")[2]
        return f"[{title}](#{places[title]})" if places and title in places else title
    if "anyOf" in schema:
        return " or ".join(_kind(form, places) for form in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        inner = schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
        return f"list of {_kind(inner, places)}" if inner else "list"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"object of {_kind(inner, places)} by name" if inner else "object"
    words = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    kind = str(schema.get("type", "any value"))
    return words.get(kind, kind) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {_number(low)} to {_number(high)}"
    words = {"from": low, "up to": high, "above": above, "below": below}
    told = " and ".join(f"{word} {_number(of)}" for word, of in words.items() if of is not None)
    return f", {told}" if told else ""


def _number(value: Any) -> str:
    number = float(value)
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


def _sentence(text: str) -> str:
    text = _plain(text[:1].upper() + text[1:])
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, but for options and files, which become code."""
    text = re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(text, quote=False))
    return re.sub(r"(?<![\w-])(--[a-z][a-z0-9-]*)", r"`\1`", text)


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "target-keys": target_keys,
    "targets": targets,
    "project-keys": project_keys,
    "gates": lambda: _keys(Gates, "limits-"),
    "device-keys": lambda: _keys(DeviceTable, "device-"),
    "exit-codes": exit_codes,
    "json-keys": json_keys,
}

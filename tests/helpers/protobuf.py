"""Messages of protobuf from a table of their fields, for schemas that no package ships."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# By message: its fields as name, number and type; "[]" is repeated, "{}" a map from strings. What
# lies in another message has its name in front: "ModelWarmup.Input".
Fields = dict[str, tuple[tuple[str, int, str], ...]]


def message_of(wanted: str, tables: Fields, enums: dict[str, tuple[str, ...]]) -> Any:
    """The class of a message.

    Args:
        enums: their values, numbered from 0, by name.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="table.proto", package="t", syntax="proto3")
    messages: dict[str, Any] = {}
    for name in tables:
        outer, _, inner = name.rpartition(".")
        place = messages[outer].nested_type if outer else file.message_type
        messages[name] = place.add(name=inner)
    for name, values in enums.items():
        outer, _, inner = name.rpartition(".")
        enum = (messages[outer] if outer else file).enum_type.add(name=inner)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in tables.items():
        for field, number, kind in fields:
            _add(messages[name], name, (field, number, kind), enums)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{wanted}"))


def _add(message: Any, owner: str, row: tuple[str, int, str], enums: Collection[str]) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    name, number, kind = row
    base = kind.rstrip("[]{}")
    type_name = {} if base.islower() or base[-1].isdigit() else {"type_name": f".t.{base}"}
    if base in enums:
        of = Field.TYPE_ENUM
    else:
        of = Field.TYPE_MESSAGE if type_name else getattr(Field, f"TYPE_{base.upper()}")
    repeated = kind.endswith(("[]", "{}"))
    if kind.endswith("{}"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=of, label=Field.LABEL_OPTIONAL, **type_name)
        of, type_name = Field.TYPE_MESSAGE, {"type_name": f".t.{owner}.{entry.name}"}
    label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
    message.field.add(name=name, number=number, type=of, label=label, **type_name)

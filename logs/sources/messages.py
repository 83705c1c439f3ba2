"""Protocol Buffers messages whose classes no package brings, from a description in the order of their .proto.

Nothing is generated, so nothing has to fit the version of the protobuf package. Importing that costs some megabytes:
whoever needs a class here asks for it when the first message comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES: Final = {"bytes": _Field.TYPE_BYTES, "string": _Field.TYPE_STRING, "int32": _Field.TYPE_INT32,
                 "int64": _Field.TYPE_INT64}  # fmt: skip

# Name → its fields as (type, name, number). A type with [] repeats; one that isn't protobuf's own is another message.
Messages = Mapping[str, Sequence[tuple[str, str, int]]]


def classes(package: str, messages: Messages) -> dict[str, Any]:
    """The class of each message, by its name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        file.message_type.add(name=name, field=[_field(package, *field) for field in fields])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _field(package: str, kind: str, name: str, number: int) -> descriptor_pb2.FieldDescriptorProto:
    field = _Field(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.endswith("[]"):
        field.label = _Field.LABEL_REPEATED
        kind = kind.removesuffix("[]")
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
    return field

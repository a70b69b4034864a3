"""The JSON Schema of a configuration file, for editors and other tools.

A file is one layer of several, so none of its keys is required, and each may be null, which leaves
the value to the other layers. Pure functions of models; any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from zenactors.config.merge import COMPONENTS, Sections
from zenactors.config.options import NOT_IN_FILES
from zenactors.config.redaction import plain
from zenactors.config.supervision import SUPERVISION, is_own_option, supervision_model
from zenactors.core.recipe import key_of, keys_of
from zenactors.secret_text import SECRET, redacted_to_last_at

if TYPE_CHECKING:
    from zenactors.config.component_options import Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ABOUT = ("title", "description", "default")
_NULL = {"type": "null"}


def json_schema(
    model: type[pydantic.BaseModel], sections: Sections | None = None
) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Args:
        model: The keys.
        sections: The tables under `components`, as for `load`.
    """
    tables = _Tables()
    schema = tables.add(model, "")
    properties = schema["properties"]
    for key, field in keys_of(model).items():
        if key in NOT_IN_FILES:
            properties.pop(key, None)
        elif key not in properties:  # another spelling
            name = next(name for name, each in model.model_fields.items() if each is field)
            properties[key] = properties[key_of(name, field)]
    if COMPONENTS in properties:
        components = {
            name: tables.of_component(name, section) for name, section in (sections or {}).items()
        }
        about = {key: each for key, each in properties[COMPONENTS].items() if key in _ABOUT}
        properties[COMPONENTS] = about | _table(components)
    schema = {"$schema": DIALECT, **tables.as_layer(schema)}
    return schema | ({"$defs": tables.definitions} if tables.definitions else {})


def _table(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


class _Generate(GenerateJsonSchema):
    """Allows any value for types that JSON Schema cannot describe."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}


class _Tables:
    """The schemas of several models, with shared definitions."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def add(self, model: type[pydantic.BaseModel], prefix: str) -> dict[str, Any]:
        """Return a model's schema; the prefix keeps its definitions apart from others'."""
        schema = model.model_json_schema(
            ref_template=f"#/$defs/{_as_pointer(prefix)}{{model}}", schema_generator=_Generate
        )
        definitions = schema.pop("$defs", {})
        for each in (schema, *definitions.values()):
            if "properties" in each:  # a table; its model may not forbid other keys
                each.setdefault("additionalProperties", False)
            for key, about in each.get("properties", {}).items():
                _hide_secrets(key, about)
        self.definitions |= {prefix + name: each for name, each in definitions.items()}
        if "description" in schema:  # a docstring: only its first paragraph is for users
            schema["description"] = schema["description"].partition("\n\n")[0]
        return schema

    def of_component(self, name: str, section: Section | None) -> dict[str, Any]:
        """Return the schema of a component's options, and of its policy."""
        schema = self.add(section.model, f"{COMPONENTS}.{name}.") if section else _table({})
        if not is_own_option(section):
            policy = self.add(supervision_model(), f"{SUPERVISION}.")
            schema["properties"] = {**schema.get("properties", {}), SUPERVISION: policy}
        return schema

    def as_layer(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of one layer of a table. In arrays, tables must be complete."""
        if "$ref" in schema:
            return {**schema, "$ref": self._layer_of(schema["$ref"])}
        found = {key: each for key, each in schema.items() if key != "required"}
        if "anyOf" in found:
            found["anyOf"] = [self.as_layer(each) for each in found["anyOf"]]
        if "properties" in found:
            found["properties"] = {
                key: _or_null(self.as_layer(each)) for key, each in found["properties"].items()
            }
        if isinstance(found.get("additionalProperties"), dict):
            values = self.as_layer(found["additionalProperties"])
            found["additionalProperties"] = _or_null(values)
        return found

    def _layer_of(self, reference: str) -> str:
        if f"{reference}.layer" in self._names():
            return f"{reference}.layer"
        name = self._names()[reference]
        self.definitions[f"{name}.layer"] = {}  # models may refer to themselves
        self.definitions[f"{name}.layer"] = self.as_layer(self.definitions[name])
        return f"{reference}.layer"

    def _names(self) -> dict[str, str]:
        return {f"#/$defs/{_as_pointer(name)}": name for name in self.definitions}


def _hide_secrets(key: str, about: dict[str, Any]) -> None:
    """Remove a secret from the default of a key."""
    if SECRET.search(key):
        about.pop("default", None)
    elif "default" in about:
        about["default"] = plain(about["default"], redact=redacted_to_last_at)


def _as_pointer(name: str) -> str:
    """Return a name as a part of a JSON Pointer in a URI."""
    return quote(name.replace("~", "~0").replace("/", "~1"))


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    about = {key: each for key, each in schema.items() if key in _ABOUT}
    rest = {key: each for key, each in schema.items() if key not in _ABOUT}
    if not rest or _NULL in rest.get("anyOf", []):
        return schema
    return {**about, "anyOf": [rest, _NULL]}

"""The table `[component.supervision]` of a file. Pure functions of tables; any thread."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from typing import Any

import pydantic

from zenactors.config.checking import STRICT, Finding, as_key, check_table
from zenactors.config.wording import one_line
from zenactors.core.supervision import Retry, Supervision

_IN_CODE = {"retry", "on", "wait"}  # exceptions and waits cannot be written in a file


@functools.cache
def supervision_model() -> type[pydantic.BaseModel]:
    """Return the keys and types of the table."""
    retry = _model(Retry)
    return _model(Supervision, retry=(retry | None, None))


def _model(cls: type, **more: Any) -> type[pydantic.BaseModel]:
    types = typing.get_type_hints(cls)
    fields: dict[str, Any] = {
        field.name: (types[field.name], field.default)
        for field in dataclasses.fields(cls)
        if field.name not in _IN_CODE
    }
    model: type[pydantic.BaseModel] = pydantic.create_model(
        cls.__name__, __config__=STRICT, **fields, **more
    )
    return model


def read_supervision(table: Mapping[str, Any]) -> tuple[Supervision | None, list[Finding]]:
    """Return the policy that a table describes, or None and what is wrong."""
    checked, findings = check_table(supervision_model(), table, as_key)
    if checked is None:
        return None, findings
    values = checked.model_dump(exclude_unset=True)
    try:
        if values.get("retry") is not None:
            values["retry"] = Retry(**values["retry"])
        return Supervision(**values), []
    except ValueError as cause:
        return None, [((), one_line(cause))]

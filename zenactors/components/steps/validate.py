"""Pass on only records that are as a model or a schema says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pydantic

from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._functions import load_object
from zenactors.components._options import check_choice, check_name
from zenactors.components._read_file import read_file
from zenactors.components.steps._fallible import FallibleStep, OnError
from zenactors.core.daemon_api import Daemon
from zenactors.errors import ZenDaemonComponentException

_MAX_SCHEMA_BYTES = 16 << 20
_MAX_CHARACTERS = 200
_CHOICES = ("dead-letter", "drop", "route")


class InvalidRecordError(ValueError):
    """A record is not as the model or the schema says."""


class Validate(FallibleStep):
    """Pass on only records that are as a pydantic model or a JSON Schema says.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. Records
    go on as they came; with `convert`, as the model makes them: numbers out of texts, say, and
    defaults for what is missing. A record that is not valid becomes a dead letter of its own, and
    the others go on. The cause is one line with the first mistake, without values of the record.

    References of a schema to other files or to URLs are not followed.

    Statistics: `records` that came, `passed_on`, and `failed`: not valid.

    Promises:
        loss: None: what is not valid is in its dead letter, which a replay brings back to this
            step, or goes to `invalid`. With `on_invalid = "drop"` it is lost, and counted.
        duplicates: None of its own. After a crash, records of events that were not done come again.
        order: Records keep their order.
        memory: One event at a time; only the schema is kept, of at most 16 MiB.
        threads: Works in its own thread. A pattern in a schema takes the time that it takes.

    Args:
        model: A pydantic model, as `"module:Model"` in a file.
        json_schema: A JSON Schema as a table, or the path of a JSON file, instead of `model`. It
            needs jsonschema: `pip install 'zenactors[schema]'`.
        convert: Pass on what the model makes of a record, as JSON can hold it.
        on_invalid: What becomes of a record that is not valid. "dead-letter": it alone becomes a
            dead letter, and its source hears that it is done. "drop": it is counted. "route": it
            goes to the event `invalid`, in one list with the others of its event.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of `json_schema`; a simulation sets its own before `setup`.

    Example:
        name = "validate"
        schedule = [["lines", [{ status = 404 }, { status = "none" }]]]

        [[component]]
        use = "zenactors.components:Validate"
        options.on_invalid = "drop"
        options.json_schema = { properties = { status = { type = "integer" } } }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        model: str | type[pydantic.BaseModel] | None = None,
        json_schema: dict[str, Any] | str | None = None,
        convert: bool = False,
        on_invalid: Literal["dead-letter", "drop", "route"] = "dead-letter",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        self.on_invalid = check_choice("on_invalid", on_invalid, _CHOICES)
        on_error: OnError = "drop" if on_invalid == "drop" else "dead-letter"
        super().__init__(on_error=on_error, name=name, event_map=event_map)
        if (model is None) == (json_schema is None):
            raise ValueError("Validate needs model or json_schema, and not both.")
        if not isinstance(convert, bool):
            raise ValueError(f"convert is {convert!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        if convert and model is None:
            raise ValueError("convert is for model: a schema does not change records.")
        if json_schema is not None and not isinstance(json_schema, Mapping | str):
            raise ValueError(f"json_schema is {json_schema!r}, but a table or a path is expected.")
        if isinstance(json_schema, str):
            check_name("json_schema", json_schema)
        self.json_schema = json_schema
        self.convert = convert
        self._check: Callable[[Any], Any] = self._by_model
        self._model: Any = None if model is None else _model(model)
        self._validator: Any = None
        self.emits = ("invalid",) if on_invalid == "route" else ()
        self._invalid: list[Any] = []

    def setup(self, daemon: Daemon) -> None:
        """Load the schema, if there is one."""
        if self.json_schema is not None:
            self._validator = _validator(self._schema(daemon), self.json_schema)
            self._check = self._by_schema

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Return the records that are valid; send the others to `invalid`, if that is wanted."""
        self._invalid = []
        passed_on = super().apply(daemon, records)
        invalid, self._invalid = self._invalid, []
        if invalid:
            self.inc_statistic("failed", len(invalid))
            daemon.queue.schedule(self.event("invalid"), invalid)
        return passed_on

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append the record if it is valid."""
        try:
            passed_on.append(self._check(record))
        except InvalidRecordError:
            if self.on_invalid != "route":
                raise
            self._invalid.append(record)

    def dead_letter_record(self, daemon: Daemon, record: Any, cause: Exception | str) -> None:
        """Make a record a dead letter; without a traceback if it is only not valid."""
        text = str(cause) if isinstance(cause, InvalidRecordError) else cause
        super().dead_letter_record(daemon, record, text)

    def _by_model(self, record: Any) -> Any:
        try:
            found = self._model.model_validate(record)
        except pydantic.ValidationError as cause:
            raise _invalid_by_model(cause) from None
        except RecursionError:
            raise InvalidRecordError("The record is nested too deep.") from None
        return found.model_dump(mode="json") if self.convert else record

    def _by_schema(self, record: Any) -> Any:
        try:
            error = next(self._validator.iter_errors(record), None)
        except RecursionError:
            raise InvalidRecordError("The record is nested too deep.") from None
        if error is not None:
            rule = f"{error.validator} = {json.dumps(error.validator_value, default=repr)}"
            raise InvalidRecordError(_one_line(f"{error.json_path} is against the rule {rule}"))
        return record

    def _schema(self, daemon: Daemon) -> Any:
        if not isinstance(self.json_schema, str):
            return self.json_schema
        path = located(self.json_schema, daemon)
        try:
            return json.loads(read_file(path, self.files, limit=_MAX_SCHEMA_BYTES))
        except OSError as cause:
            raise ZenDaemonComponentException(
                f"Cannot read the schema {path}: {reason(cause)}."
                f" {advice_for(cause, path, 'read')}."
            ) from cause
        except (ValueError, RecursionError) as cause:
            raise ZenDaemonComponentException(
                f"The schema {path} is no JSON: {_one_line(str(cause))}. Correct the file."
            ) from cause


def _model(model: Any) -> Any:
    found = load_object("model", model)
    if not (isinstance(found, type) and hasattr(found, "model_validate")):
        raise ValueError(
            f'model is {model!r}, but a pydantic model is expected, or "module:Model".'
        )
    return found


def _validator(schema: Any, given: Any) -> Any:
    try:
        from jsonschema import SchemaError, validators  # noqa: PLC0415 - an extra
        from jsonschema_specifications import (  # type: ignore[import-untyped] # noqa: PLC0415
            REGISTRY,
        )
    except ImportError as cause:
        raise ZenDaemonComponentException(
            "Validate needs jsonschema for a schema: pip install 'zenactors[schema]'."
        ) from cause
    where = given if isinstance(given, str) else "in the options"
    try:
        cls = validators.validator_for(schema, default=validators.Draft202012Validator)
        cls.check_schema(schema)
    except SchemaError as cause:
        raise ZenDaemonComponentException(
            f"The schema {where} is wrong: {_one_line(f'{cause.json_path}: {cause.message}')}."
        ) from cause
    except (TypeError, AttributeError, RecursionError) as cause:
        raise ZenDaemonComponentException(
            f"The schema {where} is wrong: a table is expected."
        ) from cause
    # With a registry of its own, jsonschema fetches nothing from the network.
    return cls(schema, registry=REGISTRY)


def _invalid_by_model(cause: pydantic.ValidationError) -> InvalidRecordError:
    first, *others = cause.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(map(str, first["loc"]))
    more = f" (and {len(others)} more)" if others else ""
    return InvalidRecordError(f"{_one_line(f'{where}: ' * bool(where) + first['msg'])}{more}")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARACTERS else line[:_MAX_CHARACTERS] + "…"

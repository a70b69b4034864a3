"""JSON configuration files with comment lines, and their validation by JSON Schema."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Schema = bool | str | dict[str, Any] | None

_COMMENTS = ("#", "//")


class JSONSchemaException(Exception):  # noqa: N818 - pyzenkit's name
    """Data does not fit its schema.

    Attributes:
        errstr: All problems in one text.
        errlist: The problems, one text each.
    """

    def __init__(self, errstr: str, errlist: list[str]) -> None:
        super().__init__()
        self.errstr = errstr
        self.errlist = errlist

    def __str__(self) -> str:
        return repr(self.errstr)


def sortkey(key: Any) -> tuple[int, str]:
    """Return the sorting key of a validation error: short paths first, then by name."""
    return (len(key.path), "/".join(map(str, key.path)).lower())


def json_default(obj: Any) -> str:
    """Return a text for an object that JSON cannot hold."""
    return str(obj)


def json_dump(data: Any, **kwargs: Any) -> str:
    """Return data as JSON text: sorted, indented by four, other objects as text.

    Args:
        data: The data.
        kwargs: Options of `json.dumps`, which take precedence.
    """
    return json.dumps(data, **{"sort_keys": True, "indent": 4, "default": json_default, **kwargs})


def json_save(json_file: str, data: Any, **kwargs: Any) -> bool:
    """Write data to a JSON file, in the form of `json_dump`. Always returns True.

    Data that cannot be written as JSON leaves the file as it was.
    """
    text = json_dump(data, **kwargs)
    Path(json_file).write_text(text, encoding="utf-8")
    return True


def json_load(json_file: str, silent: bool = False) -> Any:  # noqa: FBT001, FBT002 - pyzenkit's
    """Return the data of a JSON file, in which lines that begin with `#` or `//` are comments.

    Args:
        json_file: The file.
        silent: Return `{}` if the file is missing.
    """
    try:
        text = Path(json_file).read_text(encoding="utf-8")
    except FileNotFoundError:
        if silent:
            return {}
        raise
    # A comment leaves an empty line, so that an error's line number is that of the file.
    lines = ("" if line.lstrip().startswith(_COMMENTS) else line for line in text.split("\n"))
    return json.loads("\n".join(lines))


def config_validate(data: Any, schema: Any) -> bool:
    """Validate data by a JSON Schema (draft 4). Always returns True.

    Raises:
        TypeError: The schema is no dict.
        JSONSchemaException: The data does not fit.
        ImportError: The package jsonschema is not installed.
    """
    if not isinstance(schema, dict):
        raise TypeError(f"A schema must be a dict, not {type(schema).__name__}.")
    jsonschema = importlib.import_module("jsonschema")
    jsonschema.Draft4Validator.check_schema(schema)
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    problems = [
        f"Key {'/'.join(map(str, error.path))!r} with value {error.instance!r}: {error.message}"
        f" ({error.schema.get('description', 'no description')})"
        for error in sorted(validator.iter_errors(data), key=sortkey)
    ]
    if problems:
        raise JSONSchemaException("\n".join(problems), problems)
    return True


def config_load(config_file: str, schema: Schema = None, silent: bool = False) -> Any:  # noqa: FBT001, FBT002 - pyzenkit's
    """Return the data of a configuration file.

    Args:
        config_file: The file.
        schema: Validates the data: a schema, its file, or a directory that has `FILE.schema`.
            True: the schema is beside the file.
        silent: Return `{}` if the file is missing.
    """
    if silent and not Path(config_file).exists():
        return {}
    data = json_load(config_file)
    if schema:
        config_validate(data, _schema(config_file, schema))
    return data


def config_load_n(
    config_files: Iterable[str],
    schema: Schema = None,
    silent: bool = False,  # noqa: FBT001, FBT002 - pyzenkit's
) -> dict[str, Any]:
    """Return the data of several files: a later file replaces whole keys of earlier ones."""
    data: dict[str, Any] = {}
    for each in config_files:
        found = config_load(each, schema=schema, silent=silent) or {}
        data.update((key, value) for key, value in found.items() if value is not None)
    return data


def config_load_dir(
    config_dir: str,
    schema: Schema = None,
    extension: str = ".json.conf",
    silent: bool = False,  # noqa: FBT001, FBT002 - pyzenkit's
) -> dict[str, Any]:
    """Return the data of all files of a directory with this extension, in the order of names."""
    directory = Path(config_dir)
    if silent and not directory.exists():
        return {}
    files = sorted(each for each in directory.iterdir() if each.is_file())
    return config_load_n([str(f) for f in files if f.name.endswith(extension)], schema, silent)


def _schema(config_file: str, given: bool | str | dict[str, Any]) -> Any:  # noqa: FBT001
    if isinstance(given, dict):
        return given
    path = Path(f"{config_file}.schema" if isinstance(given, bool) else given)
    if path.is_dir():
        path = path / f"{Path(config_file).name}.schema"
    if not path.is_file():
        raise TypeError(f"There is no schema {str(path)!r}: give a dict, a file or its directory.")
    return json_load(str(path))

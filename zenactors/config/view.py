"""The merged configuration as text: each value with its origin, secrets redacted.

Pure functions; any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.config.redaction import plain
from zenactors.secret_text import REDACTED, SECRET, redacted_to_last_at

if TYPE_CHECKING:
    from zenactors.config.merge import Configuration
    from zenactors.config.places import KeyPath

_INDENT = "  "


def config_tree(configuration: Configuration) -> str:
    """Return one line per key, in the order of the model; a table's keys are indented below it.

    Values are JSON. The values of keys that look secret are redacted, as are passwords in URLs.
    """
    rows = list(_rows(configuration.values, configuration.origins, ()))
    key_width = max((len(key) for key, _, origin in rows if origin), default=0)
    value_width = max((len(value) for _, value, origin in rows if origin), default=0)
    return "".join(
        f"{key:{key_width}}  {value:{value_width}}  {origin}\n" if origin else f"{key}\n"
        for key, value, origin in rows
    )


def _rows(
    table: Mapping[str, Any], origins: Mapping[KeyPath, str], path: KeyPath
) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and origin; the last two are empty for a table's own line."""
    for key, value in table.items():
        where = (*path, key)
        name = _INDENT * len(path) + (str(key) if str(key).isprintable() else json.dumps(str(key)))
        if SECRET.search(str(key)) and value is not None:
            found = {origins[leaf] for leaf in origins if leaf[: len(where)] == where}
            yield name, json.dumps(REDACTED), ", ".join(sorted(found))
        elif isinstance(value, Mapping) and value and where not in origins:
            yield name, "", ""
            yield from _rows(value, origins, where)
        else:
            yield name, _spelled(where, value), origins[where]


def _spelled(path: KeyPath, value: Any) -> str:
    if path == ("umask",):
        value = f"{value:03o}"  # umasks are written in octal
    value = plain(value, redact=redacted_to_last_at)
    text = json.dumps(value, ensure_ascii=False)
    # Escape control characters, which terminals obey, and lone surrogates, which no file can hold.
    return text if text.isprintable() else json.dumps(value)

"""The configuration of a daemon: its keys, its sources, and the merged and checked result.

`options` has the keys as a pydantic model, `value_types` the types of their values, `flags` their
options on the command line, and `schema` the JSON Schema of a file. `sources` reads files into
layers, `merge` combines layers into one configuration, `view` shows it. `checking` finds the errors
of a table, `jsonc` and `toml` parse a text and locate its keys. Nothing here acts on the values.
"""

"""The configuration of a daemon: its keys, its sources, and the merged and checked result.

`options` has the keys as a pydantic model, `value_types` the types of their values, `flags` their
options on the command line, and `schema` the JSON Schema of a file. `sources` reads files into
layers, `assignments` single values of the command line, `merge` combines layers into one
configuration, `view` shows it. `component_options` has the options of components, and `plan` makes
components with them. `checking` finds the errors of a table, `jsonc` and `toml` parse a text and
locate its keys. Nothing else here acts on the values.
"""

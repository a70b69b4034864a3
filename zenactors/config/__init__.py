"""The configuration of a daemon: what there is to set, where it is set, and what holds in the end.

`options` has the keys as a pydantic model, `sources` reads files into layers, `merge` puts layers
on top of each other, `view` and `schema` show the result and what a file may hold. Of the others,
`checking` words what is wrong with a table, `jsonc` and `locate` know where things stand in a text.
Nothing here acts on what is configured.
"""

"""From a SPEC to a `ZenDaemon`: a TOML file, or `package.module:attribute`.

`assemble` loads a SPEC. For a file it uses `components`, which constructs a component from a table,
and `cases`, the tests in the file; for the other form, `objects`. Both import code by `importing`.
Everything runs on the main thread before any other thread exists.
"""

from zenactors.spec.assemble import load, load_with_tests
from zenactors.spec.components import emitted_by

__all__ = ["emitted_by", "load", "load_with_tests"]

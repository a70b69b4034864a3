"""From a SPEC to a `ZenDaemon`: a TOML file, or `package.module:attribute`.

`assemble` puts the daemon together out of what the others find: `importing` the code that a
SPEC names, `options` what constructors take, `components` what the tables describe, `locate`
the lines in the file. All of it runs on the main thread before any other thread exists.
"""

from zenactors.spec.assemble import load
from zenactors.spec.components import emitted_by

__all__ = ["emitted_by", "load"]

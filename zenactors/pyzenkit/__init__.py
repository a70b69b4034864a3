"""pyzenkit 0.67's interface for daemons, on zenactors: change the import, and a daemon runs.

    from zenactors.pyzenkit.zendaemon import ZenDaemon, ZenDaemonComponent

Names, arguments and results are those of pyzenkit. The components are actors: each has a thread of
its own, and one event is handled at a time. Everything that exists for the sake of pyzenkit is in
this package; importing `zenactors` does not import it.
"""

__version__ = "0.67"
"""The version of pyzenkit whose interface this is."""

"""`BaseApp`: what an application has besides its work: name, folders, configuration, actions."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.config.merge import Configuration, load
from zenactors.config.options import DaemonOptions
from zenactors.config.schema import json_schema
from zenactors.config.sources import Layer, read_layers
from zenactors.config.view import config_tree
from zenactors.daemon.actions import SIGNAL_ACTIONS, Outcome, send_signal
from zenactors.daemon.names import ApplicationNames
from zenactors.daemon.paths import default_paths, resource_path
from zenactors.daemon.runlog import RunlogEntry, RunlogStore, runlog_text, runlogs_text
from zenactors.errors import EXIT_NO_INPUT, ConfigurationError, did_you_mean
from zenactors.process.pidfile import with_serial

if TYPE_CHECKING:
    import pydantic

APP_NAME = re.compile(r"[_a-zA-Z][-_a-zA-Z0-9.]*")


class BaseApp(ApplicationNames):
    """The part of a daemon that is the same for every program.

    A subclass adds configuration keys, which are command-line options too, by subclassing
    `Options`; an action `do-it` by a method `cbk_action_do_it`, which returns an `Outcome`; and
    derived values by overriding `derive`.

    Args:
        name: For logs and files. Default: the program's file name.
        description: One line on what it is for.
        defaults: `default_KEY=value` for any configuration key, and `path_KIND=folder` for `bin`,
            `cfg`, `var`, `log`, `run` and `tmp`.

    Attributes:
        paths: The folder for each kind of file.
        configuration: What `config` was merged from.
    """

    class Options(DaemonOptions):
        """The configuration keys, as a pydantic model. A subclass's own is a subclass of this."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook, instead in _GONE.items():
            if hook in vars(cls):
                raise TypeError(f"{cls.__name__}.{hook}() would never be called: {instead}.")

    def __init__(self, *, name: str | None, description: str, **defaults: Any) -> None:
        self.description = description
        self._given = _given(defaults)
        self.paths = default_paths(_folders(defaults))
        self.name = name or Path(sys.argv[0]).name or "zenactors"
        self._called = self.name  # what files are called by, also if one of them says another name
        self._command_line: dict[str, Any] | None = None  # None: never asked for
        self._read_at_start: dict[str, str] = {}
        self._folder = _current_folder()
        self._pid: int | None = None
        self.configuration = Configuration(values={}, origins={})
        self.config: dict[str, Any] = self._unconfigured()
        self.outcome: Outcome | None = None
        """What the last `send_signal` came to."""

    @classmethod
    def get_resource_path(cls, fs_path: str, *more_chunks: str) -> str:
        """Return a path under `APP_ROOT_PATH`; an absolute one stays as it is."""
        return resource_path(fs_path, *more_chunks)

    # --- configuration ------------------------------------------------------------------------

    def configure(self, command_line: Mapping[str, Any]) -> None:
        """Merge defaults, program, files and command line into `config`.

        Args:
            command_line: Configuration keys that take precedence over all files.

        Raises:
            ConfigurationError: One line for each problem of each source.
        """
        self.name = self._called = _checked(command_line.get(self.CONFIG_NAME) or self.name)
        # Also a daemon that has gone elsewhere since is to find them again, for a reload.
        for given in (self._given, own := dict(command_line)):
            for key in (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR):
                if given.get(key):
                    given[key] = self._in_folder(key, given[key])
        self._command_line = own
        defaults = self._defaults()
        # What is there now must be there at a reload: behind a changed root folder it is not, and
        # an empty configuration would be taken for a new one.
        self._read_at_start = {
            key: defaults[key]
            for key in (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR)
            if os.path.lexists(defaults[key])
        }
        self.apply_configuration(self.read_configuration())

    def read_configuration(self) -> Configuration:
        """Read all sources as they are now, and change nothing.

        Without `configure`, files and the command line are none of them.

        Raises:
            ConfigurationError: One line for each problem of each source.
        """
        if self._command_line is None:
            layers = [
                Layer(kind="default", label="default", data=self._in_this_folder()),
                Layer(kind="program", label="program", data=self._given),
            ]
        else:
            layers = read_layers(
                default=self._defaults(),
                program=self._read_at_start | self._given,
                command_line=self._command_line,
            )
        return load(self.Options, layers, self.sections())

    def apply_configuration(self, configuration: Configuration) -> None:
        """Let `config` be this from now on.

        Raises:
            ConfigurationError: It makes no sense; what holds is as before.
        """
        config = configuration.values | self._fixed()
        for key in _PATHS if config[self.CONFIG_CHROOT_DIR] else (*_PATHS, *_PATHS_INSIDE):
            if config[key]:
                config[key] = self._in_folder(key, config[key])
        if self._pid is not None and config[self.CONFIG_STATE_FILE]:
            config[self.CONFIG_STATE_FILE] = str(
                with_serial(config[self.CONFIG_STATE_FILE], self._pid)
            )
        config[self.CORE] = self._core(config, configuration)
        self.derive(config)
        self.name = config[self.CONFIG_NAME]
        self.configuration = configuration
        self.config = config

    def _in_folder(self, key: str, path: str) -> str:
        if self._folder is None and not Path(path).is_absolute():
            raise ConfigurationError(
                f"{key}: {path!r} is relative, and the current folder is gone:"
                " give an absolute path"
            )
        return str(Path(self._folder or "/", path))

    def use_instance_files(self, pid: int) -> None:
        """Use files of one's own, beside those of the other instances (`paralel`)."""
        self._pid = pid
        self.apply_configuration(self.configuration)

    def derive(self, config: dict[str, Any]) -> None:
        """Add what follows from the configuration, in place. For subclasses.

        Called before each `config` is taken over, at the start and at a reload. What is put under
        `config["__core__"]` is what `cc()` reads.

        Raises:
            ConfigurationError: The configuration makes no sense.
        """

    def sections(self) -> dict[str, type[pydantic.BaseModel] | None]:
        """Return the components that may have a section in the configuration, and its model."""
        return {}

    def _fixed(self) -> dict[str, Any]:
        """Return what stands in `config` but only the program can set."""
        return {}

    def _unconfigured(self) -> dict[str, Any]:
        fields = self.Options.model_fields
        values = {
            key: field.get_default(call_default_factory=True) for key, field in fields.items()
        }
        return values | self._in_this_folder() | self._given

    def default_files(self, *, in_background: bool) -> dict[str, Any]:
        """Return where files go unless somebody says otherwise.

        In the background with the system's or the user's own ones, and with a pid file; in the
        foreground in the folder where it was started.
        """
        if not in_background:
            return self._in_this_folder()
        looked_for = (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR)
        return {key: value for key, value in self._defaults().items() if key not in looked_for}

    def _in_this_folder(self) -> dict[str, Any]:
        """Return where files go if nobody has configured anything."""
        return {
            self.CONFIG_NAME: self._called,
            self.CONFIG_STATE_FILE: str(Path(self._folder or "", f"{self._called}.state")),
            self.CONFIG_RUNLOG_DIR: str(Path(self._folder or "", f"{self._called}.runlogs")),
        }

    def _defaults(self) -> dict[str, Any]:
        paths, name = self.paths, self._called
        return {
            self.CONFIG_NAME: name,
            self.CONFIG_CFG_FILE: _default_file(Path(paths[self.PATH_CFG]), name),
            self.CONFIG_CFG_DIR: str(Path(paths[self.PATH_CFG], name)),
            self.CONFIG_PID_FILE: str(Path(paths[self.PATH_RUN], f"{name}.pid")),
            self.CONFIG_STATE_FILE: str(Path(paths[self.PATH_RUN], f"{name}.state")),
            self.CONFIG_RUNLOG_DIR: str(Path(paths[self.PATH_LOG], name)),
        }

    def _core(self, config: Mapping[str, Any], source: Configuration) -> dict[str, Any]:
        level = "DEBUG" if config.get(self.CONFIG_DEBUG) else config.get(self.CONFIG_LOG_LEVEL)
        file = self._log_file(config, source)
        quiet = "ERROR" if config.get(self.CONFIG_QUIET) else level
        return {
            self.CORE_LOGGING: {
                self.CORE_LOGGING_TOCONS: bool(config.get(self.CONFIG_NODAEMON)),
                self.CORE_LOGGING_TOFILE: file is not None,
                "file": file,
                self.CORE_LOGGING_LEVEL: level,
                self.CORE_LOGGING_LEVELF: level,
                self.CORE_LOGGING_LEVELC: "DEBUG" if config.get(self.CONFIG_VERBOSITY) else quiet,
            },
            self.CORE_STATE: {self.CORE_STATE_SAVE: True},
        }

    def _log_file(self, config: Mapping[str, Any], source: Configuration) -> Path | None:
        """Return the log file; detached, there is one unless somebody says that there is none."""
        given = config.get(self.CONFIG_LOG_FILE)
        if given:
            return Path(given)
        origin = source.origins.get((self.CONFIG_LOG_FILE,), "default")
        if config.get(self.CONFIG_NODAEMON) or origin != "default":
            return None
        return Path(self.paths[self.PATH_LOG], f"{self._called}.log")

    # --- actions ------------------------------------------------------------------------------

    def actions(self) -> dict[str, Callable[[], Outcome | None]]:
        """Return all actions by name: the methods `cbk_action_*`."""
        prefix = "cbk_action_"
        return {
            attribute.removeprefix(prefix).replace("_", "-").lower(): getattr(self, attribute)
            for attribute, _ in inspect.getmembers_static(type(self), callable)
            if attribute.startswith(prefix)
        }

    def send_signal(self, sign: int) -> Outcome:
        """Send a signal to the running daemon; with `paralel`, to all its instances.

        What came of it is returned; an action that returns nothing else returns that.
        """
        pid_file = self.c(self.CONFIG_PID_FILE)
        parallel = bool(self.c(self.CONFIG_PARALEL))
        path = Path(pid_file) if pid_file else None
        self.outcome = send_signal(sign, path, parallel=parallel)
        return self.outcome

    def cbk_action_config_view(self) -> Outcome:
        """Show the merged configuration, and where each value is from."""
        return Outcome(config_tree(self.configuration))

    def cbk_action_config_schema(self) -> Outcome:
        """Show the JSON Schema of a configuration file."""
        return Outcome(json.dumps(json_schema(self.Options, self.sections()), indent=2))

    def cbk_action_runlog_view(self) -> Outcome:
        """Show the newest runlog."""
        for entry in self._runlogs():
            if entry.runlog is not None:
                return Outcome(runlog_text(entry.runlog))
        return self._no_runlog()

    def cbk_action_runlogs_list(self) -> Outcome:
        """List the runlogs, newest first."""
        entries = self._runlogs()
        return Outcome(runlogs_text(entries)) if entries else self._no_runlog()

    def _runlogs(self) -> list[RunlogEntry]:
        folder = self.c(self.CONFIG_RUNLOG_DIR)
        return RunlogStore(Path(folder), self.name).list() if folder else []

    def _no_runlog(self) -> Outcome:
        folder = self.c(self.CONFIG_RUNLOG_DIR)
        text = f"There is no runlog in {folder}" if folder else "No runlog_dir is configured"
        return Outcome(text, EXIT_NO_INPUT)

    def cbk_action_signal_check(self) -> Outcome:
        """Say whether the daemon runs."""
        return self.send_signal(SIGNAL_ACTIONS["signal-check"])

    def cbk_action_signal_alrm(self) -> Outcome:
        """Send SIGALRM: wake the daemon."""
        return self.send_signal(SIGNAL_ACTIONS["signal-alrm"])

    def cbk_action_signal_hup(self) -> Outcome:
        """Send SIGHUP: read the configuration again, and open the log file anew."""
        return self.send_signal(SIGNAL_ACTIONS["signal-hup"])

    def cbk_action_signal_int(self) -> Outcome:
        """Send SIGINT: stop when what is queued has been worked off."""
        return self.send_signal(SIGNAL_ACTIONS["signal-int"])

    def cbk_action_signal_term(self) -> Outcome:
        """Send SIGTERM: stop at once, unless configured otherwise (sigterm)."""
        return self.send_signal(SIGNAL_ACTIONS["signal-term"])

    def cbk_action_signal_usr1(self) -> Outcome:
        """Send SIGUSR1: save the runlog."""
        return self.send_signal(SIGNAL_ACTIONS["signal-usr1"])

    def cbk_action_signal_usr2(self) -> Outcome:
        """Send SIGUSR2: save the state."""
        return self.send_signal(SIGNAL_ACTIONS["signal-usr2"])


# Hooks of pyzenkit, and what to do instead: overriding one would change nothing, in silence.
_GONE = {
    **dict.fromkeys(
        ("_init_config", "_init_argparser"), "subclass `Options` to add configuration keys"
    ),
    "_configure_postprocess": "override derive() to add what follows from the configuration",
    "_sub_stage_setup": "set up in a component's setup()",
    "_sub_stage_process": "work in components' callbacks",
    "_sub_stage_teardown": "release in a component's teardown()",
}

# Made absolute at once: a daemon changes its folder.
_PATHS = ("config_file", "config_dir", "pid_file", "chroot_dir")
_PATHS_INSIDE = ("log_file", "state_file", "runlog_dir", "work_dir")  # behind chroot_dir


def _given(defaults: Mapping[str, Any]) -> dict[str, Any]:
    for argument in defaults:
        if not argument.startswith(("default_", "path_")):
            raise TypeError(
                f"Unexpected argument {argument!r}{did_you_mean(argument, _ARGUMENTS)}; give"
                " configuration keys as default_KEY, and folders as path_KIND."
            )
    return {
        argument.removeprefix("default_"): value
        for argument, value in defaults.items()
        if argument.startswith("default_") and value is not None
    }


def _folders(defaults: Mapping[str, Any]) -> dict[str, str | None]:
    kinds = {argument.removeprefix("path_"): value for argument, value in defaults.items()}
    return {kind: value for kind, value in kinds.items() if f"path_{kind}" in defaults}


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted
        return None


_ARGUMENTS = ("components", "schedule", "schedule_next", "schedule_at", "schedule_after")


def _checked(name: str) -> str:
    if not APP_NAME.fullmatch(name):
        raise ConfigurationError(
            f"name: {name!r} cannot be a daemon's name: it becomes part of file names, so use"
            " letters, digits, '-', '_' and '.', and begin with a letter"
        )
    return name


def _default_file(folder: Path, name: str) -> str:
    toml = folder / f"{name}.toml"
    return str(toml if os.path.lexists(toml) else folder / f"{name}.conf")

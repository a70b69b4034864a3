"""`BaseApp`: the configuration of an application, its name and its directories."""

from __future__ import annotations

import abc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.config.merge import Configuration, load
from zenactors.config.options import DaemonOptions
from zenactors.config.sources import Layer, read_layers
from zenactors.daemon.names import ApplicationNames
from zenactors.daemon.paths import current_directory, default_paths, resource_path
from zenactors.errors import ConfigurationError, did_you_mean
from zenactors.process.pidfile import with_serial

if TYPE_CHECKING:
    from zenactors.config.assignments import Assignment
    from zenactors.config.merge import Sections

APP_NAME = re.compile(r"[_a-zA-Z][-_a-zA-Z0-9.]*")

_ARGUMENTS = ("components", "schedule", "schedule_next", "schedule_at", "schedule_after")

# These are made absolute at once, because a daemon changes its directory.
_PATHS = ("config_file", "config_dir", "pid_file", "chroot_dir")
_PATHS_INSIDE = (  # inside chroot_dir
    "log_file",
    "state_file",
    "dead_letter_file",
    "state_dir",
    "runlog_dir",
    "work_dir",
)
_OF_INSTANCE = ("state_file", "dead_letter_file")  # with `paralel`, each has its own


class BaseApp(ApplicationNames):
    """The configuration of an application, and everything derived from it.

    A subclass adds configuration keys, which are command-line options too, by subclassing
    `Options`, and derived values by overriding `derive`.

    Args:
        name: For logs and files. Default: the program's file name, or the package's name for
            `python -m`.
        description: One line on its purpose.
        defaults: `default_KEY=value` for any configuration key, and `path_KIND=directory` for
            `bin`, `cfg`, `var`, `log`, `run` and `tmp`.

    Attributes:
        paths: The directory for each kind of file.
        configuration: The merged sources that `config` was made from.
    """

    class Options(DaemonOptions):
        """The configuration keys, as a pydantic model. A subclass's `Options` derives from it."""

    def __init__(self, *, name: str | None, description: str, **defaults: Any) -> None:
        self.description = description
        self._given = _given_keys(defaults)
        self.paths = default_paths(_given_directories(defaults))
        self.name = name or program_name()
        self._file_name = self.name  # of its files, even if one of them sets another name
        self._command_line: dict[str, Any] | None = None  # None: there was no `configure`
        self._assignments: Sequence[Assignment] = ()
        self._present_at_start: dict[str, str] = {}
        self._directory = current_directory()
        self._pid: int | None = None
        self.configuration = Configuration(values={}, origins={})
        self.config: dict[str, Any] = self._unconfigured()

    @classmethod
    def get_resource_path(cls, fs_path: str, *more_chunks: str) -> str:
        """Return a path under `APP_ROOT_PATH`; an absolute one stays as it is."""
        return resource_path(fs_path, *more_chunks)

    # --- for subclasses -----------------------------------------------------------------------

    def derive(self, config: dict[str, Any]) -> None:
        """Add values that follow from the configuration, in place.

        Called before each new `config` is applied, at the start and at a reload. `cc()` reads
        what is under `config["__core__"]`.

        Raises:
            ConfigurationError: The configuration makes no sense.
        """

    # --- from sources to config ---------------------------------------------------------------

    def configure(
        self, command_line: Mapping[str, Any], assignments: Sequence[Assignment] = ()
    ) -> None:
        """Merge defaults, program, files and command line into `config`.

        Args:
            command_line: Configuration keys that take precedence over all files.
            assignments: Single values that take precedence over all else (`--set`).

        Raises:
            ConfigurationError: One line for each problem of each source.
        """
        self.name = self._file_name = _checked(command_line.get(self.CONFIG_NAME) or self.name)
        # A reload must find the files again from another current directory.
        for given in (self._given, own := dict(command_line)):
            for key in (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR):
                if given.get(key):
                    given[key] = self._absolute(key, given[key])
        self._command_line, self._assignments = own, tuple(assignments)
        defaults = self._background_files()
        # Remember which files exist now. If one is missing at a reload, after a chroot say, that
        # is an error: otherwise an empty configuration would silently replace the real one.
        self._present_at_start = {
            key: defaults[key]
            for key in (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR)
            if os.path.lexists(defaults[key])
        }
        self.load_configuration()

    def use_assignments(self, assignments: Sequence[Assignment]) -> None:
        """Let single values take precedence, even without `configure`. For `zenactors.cli`."""
        self._assignments = tuple(assignments)

    @abc.abstractmethod
    def load_configuration(self) -> None:
        """Read and apply all sources. For `zenactors.daemon`."""

    def read_layers(self) -> list[Layer]:
        """Read all sources as they are now. For `zenactors.daemon`.

        A problem of one is in its layer. Before `configure` was called, files and the command
        line are not among the sources.
        """
        if self._command_line is None:
            return [
                Layer(kind="default", label="default", data=self._foreground_files()),
                Layer(kind="program", label="program", data=self._given),
            ]
        return read_layers(
            default=self._background_files(),
            program=self._present_at_start | self._given,
            command_line=self._command_line,
        )

    def merge(
        self, layers: Sequence[Layer], sections: Sections, *, complete: bool = True
    ) -> Configuration:
        """Merge and check all sources; see `load`. For `zenactors.daemon`.

        Raises:
            ConfigurationError: One line for each problem of each source.
        """
        return load(self.Options, layers, sections, self._assignments, complete=complete)

    def apply_configuration(self, configuration: Configuration) -> None:
        """Replace `config` by one made from `configuration`.

        Raises:
            ConfigurationError: It makes no sense. `config` is unchanged.
        """
        config = configuration.values | self._fixed()
        for key in _PATHS if config[self.CONFIG_CHROOT_DIR] else (*_PATHS, *_PATHS_INSIDE):
            if config[key]:
                config[key] = self._absolute(key, config[key])
        for key in _OF_INSTANCE:
            if self._pid is not None and config[key]:
                config[key] = str(with_serial(config[key], self._pid))
        config[self.CORE] = self._core(config, configuration)
        self.derive(config)
        self.name = config[self.CONFIG_NAME]
        self.configuration = configuration
        self.config = config

    def use_instance_files(self, pid: int) -> None:
        """Use files of this process's own, beside those of the other instances (`paralel`).

        For `zenactors.daemon`.
        """
        self._pid = pid
        self.apply_configuration(self.configuration)

    def _absolute(self, key: str, path: str) -> str:
        if self._directory is None and not Path(path).is_absolute():
            raise ConfigurationError(
                f"{key}: {path!r} is relative, and the current directory is gone:"
                " give an absolute path"
            )
        return str(Path(self._directory or "/", path))

    # --- defaults and derived values ----------------------------------------------------------

    def default_files(self, *, in_background: bool) -> dict[str, Any]:
        """Return the configuration keys that name files, with their defaults. For `zenactors.spec`.

        In the background these are among the system's or the user's files, and there is a PID
        file. In the foreground they are in the directory where the program was started.
        """
        if not in_background:
            return self._foreground_files()
        searched = (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR)
        files = self._background_files()
        return {key: value for key, value in files.items() if key not in searched}

    def _foreground_files(self) -> dict[str, Any]:
        directory, name = self._directory, self._file_name
        if directory is None:  # it is gone
            return {self.CONFIG_NAME: name}
        return {
            self.CONFIG_NAME: name,
            self.CONFIG_STATE_FILE: str(Path(directory, f"{name}.state")),
            self.CONFIG_RUNLOG_DIR: str(Path(directory, f"{name}.runlogs")),
        }

    def default_places(self) -> dict[str, str]:
        """Return the default of each key that names a file or directory, for the help."""
        base = Path(self.paths[self.PATH_CFG], self._file_name)
        log_file = Path(self.paths[self.PATH_LOG], f"{self._file_name}.log")
        places = {
            **self._background_files(),
            self.CONFIG_CFG_FILE: f"{base}.toml, or {base}.conf",
            self.CONFIG_LOG_FILE: f"{log_file} in the background",
            **self._given,
        }
        file_keys = (*_PATHS, *_PATHS_INSIDE)
        return {key: str(places[key]) for key in file_keys if places.get(key)}

    def _background_files(self) -> dict[str, Any]:
        paths, name = self.paths, self._file_name
        return {
            self.CONFIG_NAME: name,
            self.CONFIG_CFG_FILE: _default_file(Path(paths[self.PATH_CFG]), name),
            self.CONFIG_CFG_DIR: str(Path(paths[self.PATH_CFG], name)),
            self.CONFIG_PID_FILE: str(Path(paths[self.PATH_RUN], f"{name}.pid")),
            self.CONFIG_STATE_FILE: str(Path(paths[self.PATH_RUN], f"{name}.state")),
            self.CONFIG_RUNLOG_DIR: str(Path(paths[self.PATH_LOG], name)),
        }

    def _fixed(self) -> dict[str, Any]:
        """Return the entries of `config` that only the program can set."""
        return {}

    def _sections(self) -> Sections:
        """Return the components that may have a section in the configuration."""
        return {}

    def _unconfigured(self) -> dict[str, Any]:
        fields = self.Options.model_fields
        values = {
            key: field.get_default(call_default_factory=True) for key, field in fields.items()
        }
        return values | self._foreground_files() | self._given

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
        """Return the log file. In the background there is one unless a source sets none."""
        given = config.get(self.CONFIG_LOG_FILE)
        if given:
            return Path(given)
        origin = source.origins.get((self.CONFIG_LOG_FILE,), "default")
        if config.get(self.CONFIG_NODAEMON) or origin != "default":
            return None
        return Path(self.paths[self.PATH_LOG], f"{self._file_name}.log")


def program_name() -> str:
    """Return the name of the program that runs: its file's, or its package's for `python -m`."""
    file = Path(sys.argv[0])
    if file.name == "__main__.py":
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        package = spec.name.removesuffix("__main__").rstrip(".") if spec is not None else ""
        return package or file.absolute().parent.name or "zenactors"
    return "zenactors" if file.name in {"", "-", "-c", "-m"} else file.name


def _given_keys(defaults: Mapping[str, Any]) -> dict[str, Any]:
    for argument in defaults:
        if not argument.startswith(("default_", "path_")):
            raise TypeError(
                f"Unexpected argument {argument!r}{did_you_mean(argument, _ARGUMENTS)}; give"
                " configuration keys as default_KEY, and directories as path_KIND."
            )
    return {
        argument.removeprefix("default_"): value
        for argument, value in defaults.items()
        if argument.startswith("default_") and value is not None
    }


def _given_directories(defaults: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        argument.removeprefix("path_"): value
        for argument, value in defaults.items()
        if argument.startswith("path_")
    }


def _checked(name: str) -> str:
    if not APP_NAME.fullmatch(name):
        raise ConfigurationError(
            f"name: {name!r} cannot be a daemon's name: it becomes part of file names, so use"
            " letters, digits, '-', '_' and '.', and begin with a letter"
        )
    return name


def _default_file(directory: Path, name: str) -> str:
    toml = directory / f"{name}.toml"
    return str(toml if os.path.lexists(toml) else directory / f"{name}.conf")

"""`BaseApp`: an application's command line, configuration, log, plugins, actions and stages.

A subclass may override every method that does not begin with two underscores. The constructor
calls those named `_init_*` and `_sub_stage_init`, `run()` the others.
"""

from __future__ import annotations

import argparse
import grp
import logging
import logging.handlers
import os
import pprint
import pwd
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from zenactors.errors import ConfigurationError, ProcessSetupError
from zenactors.process.privileges import drop, resolve_group, resolve_user
from zenactors.pyzenkit import jsonconf, utils

LOGGER = "zenapplogger"
"""The name of the standard logger that every application uses."""

_DIRECTORIES = {
    "bin": "usr/local/bin",
    "cfg": "etc",
    "var": "var",
    "log": "var/log",
    "run": "var/run",
    "tmp": "var/tmp",
}


class ZenAppException(Exception):  # noqa: N818 - pyzenkit's name, as are the next ones
    """An error that the user can understand and mend: shown without a traceback.

    Args:
        description: The text.
        params: Whatever the program wants to pass on.
    """

    def __init__(self, description: Any = "", **params: Any) -> None:
        super().__init__()
        self.description = description
        self.params = params

    def __str__(self) -> str:
        return repr(self.description)


class ZenAppSetupException(ZenAppException):
    """The setup failed: the application ends with status 1."""


class ZenAppProcessException(ZenAppException):
    """The work failed."""


class ZenAppEvaluateException(ZenAppException):
    """The evaluation failed."""


class ZenAppTeardownException(ZenAppException):
    """The teardown failed."""


class ZenAppPlugin:
    """Base class of plugins: additions to an application's options, configuration and setup."""

    def __str__(self) -> str:
        return type(self).__name__

    def init_argparser(self, app: Any, argparser: Any, **kwargs: Any) -> Any:
        """Add options. Return the parser."""
        return argparser

    def init_config(self, app: Any, config: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add defaults of configuration keys. Return the configuration."""
        return config

    def configure(self, app: Any) -> None:
        """Configure the plugin; `app.config` is complete."""
        raise NotImplementedError(f"{self} has no configure().")

    def setup(self, app: Any) -> None:
        """Set the plugin up; the log is open."""
        raise NotImplementedError(f"{self} has no setup().")


class BaseApp:
    """An application: a subclass overrides the hooks, and a program calls `run()`.

    Args:
        kwargs: `name`, `description`, `plugins`; `default_KEY` for the default of a configuration
            key and `path_KIND` for a directory. All others are for subclasses.

    Attributes:
        name: The application's name, for its files.
        description: One line on its purpose, for `--help`.
        paths: Its directories, by kind.
        argparser: The parser of the command line.
        config: The configuration: defaults, then the directory, the file and the command line.
        logger: A `logging.Logger`; None before the setup.
        retc: The exit status.
    """

    FLAG_DEBUG = False

    RC_SUCCESS = os.EX_OK
    RC_FAILURE = 1

    RESULT_SUCCESS = "success"
    RESULT_FAILURE = "failure"

    PTRN_ACTION_CBK = "cbk_action_"
    PTRN_APP_NAME = "^[_a-zA-Z][-_a-zA-Z0-9.]*$"

    PATH_BIN = "bin"
    PATH_CFG = "cfg"
    PATH_LOG = "log"
    PATH_VAR = "var"
    PATH_RUN = "run"
    PATH_TMP = "tmp"

    CORE = "__core__"
    CORE_LOGGING = "logging"
    CORE_LOGGING_TOFILE = "to_file"
    CORE_LOGGING_TOCONS = "to_console"
    CORE_LOGGING_LEVEL = "level"
    CORE_LOGGING_LEVELF = "level_file"
    CORE_LOGGING_LEVELC = "level_console"

    CONFIG_PLUGINS = "plugins"
    CONFIG_DEBUG = "debug"
    CONFIG_QUIET = "quiet"
    CONFIG_VERBOSITY = "verbosity"
    CONFIG_NAME = "name"
    CONFIG_ACTION = "action"
    CONFIG_INPUT = "input"
    CONFIG_LIMIT = "limit"
    CONFIG_USER = "user"
    CONFIG_GROUP = "group"
    CONFIG_CFG_FILE = "config_file"
    CONFIG_CFG_DIR = "config_dir"
    CONFIG_CFG_FILE_S = "config_file_silent"
    CONFIG_CFG_DIR_S = "config_dir_silent"
    CONFIG_LOG_FILE = "log_file"
    CONFIG_LOG_LEVEL = "log_level"
    CONFIG_PID_FILE = "pid_file"

    def __init__(self, **kwargs: Any) -> None:
        utils.load_dotenv_cwd()
        self._plugins: list[Any] = kwargs.get(self.CONFIG_PLUGINS, [])
        self.paths: dict[str, str] = self._init_paths(**kwargs)
        self.description: str = kwargs.get("description", "An application")
        self.argparser = self._init_argparser(**kwargs)
        self._config_cli: dict[str, Any] = self._parse_cli_arguments(self.argparser)
        self._config_file: dict[str, Any] | None = None
        self._config_dir: dict[str, Any] | None = None
        self._process_serial: str | None = None
        self.name: str = self._init_name(**kwargs)
        self.config: dict[str, Any] = self._init_config((), **kwargs)
        self.logger: Any = None
        self.retc: int = self.RC_SUCCESS
        self._sub_stage_init(**kwargs)

    @classmethod
    def get_resource_path(cls, fs_path: str, *more_chunks: str) -> str:
        """Return a path below `APP_ROOT_PATH`; an absolute one stays as it is."""
        return utils.get_resource_path(fs_path, *more_chunks)

    @classmethod
    def get_resource_path_fr(cls, fs_path: str, *more_chunks: str) -> str:
        """Return a path below `APP_ROOT_PATH`, even if `fs_path` is absolute."""
        return utils.get_resource_path_fr(fs_path, *more_chunks)

    # --- the constructor's steps ------------------------------------------------------------------

    def _init_paths(self, **kwargs: Any) -> dict[str, str]:
        """Return the directory for each kind of file."""
        return {
            kind: self.get_resource_path(kwargs.get(f"path_{kind}", directory))
            for kind, directory in _DIRECTORIES.items()
        }

    def _init_argparser(self, **kwargs: Any) -> argparse.ArgumentParser:
        """Return the parser of the command line. A subclass adds its options to it."""
        parser = argparse.ArgumentParser(description=self.description)
        add_flag(parser, "--debug", "print debugging messages to standard error")
        loudness = parser.add_mutually_exclusive_group()
        add_flag(loudness, "--quiet", "print nothing")
        loudness.add_argument(
            "--verbose", action="count", dest="verbosity", help="print more; may be repeated"
        )
        common = parser.add_argument_group("common application arguments")
        common.add_argument("--name", help="the application's name, for its files")
        common.add_argument("--user", help="user to become, by name or number")
        common.add_argument("--group", help="group to become, by name or number")
        add_flag(common, "--config-file-silent", "a missing configuration file is no error")
        add_flag(common, "--config-dir-silent", "a missing configuration directory is no error")
        common.add_argument("--config-file", help="configuration file")
        common.add_argument("--config-dir", help="directory of configuration files")
        common.add_argument("--log-file", help="log file")
        levels = ["debug", "info", "warning", "error", "critical"]
        common.add_argument("--log-level", choices=levels, help="minimum log level")
        actions = self._utils_detect_actions()
        common.add_argument("--action", choices=actions, help="perform this instead of running")
        common.add_argument("--input", help="input file of an action")
        common.add_argument("--limit", type=int, help="limit of an action's result")
        for plugin in self._plugins:
            parser = plugin.init_argparser(self, parser, **kwargs)
        return parser

    def _parse_cli_arguments(self, argparser: argparse.ArgumentParser) -> dict[str, Any]:
        """Return the options of the command line; unknown ones are ignored."""
        found = vars(argparser.parse_known_args()[0])
        if found.get(self.CONFIG_DEBUG):
            BaseApp.FLAG_DEBUG = True
        self.dbgout(f"The command line is: {' '.join(sys.argv)}")
        return found

    def _init_name(self, **kwargs: Any) -> str:
        """Return the application's name: by the command line, the program, or the file."""
        given = self._config_cli.get(self.CONFIG_NAME) or kwargs.get(self.CONFIG_NAME)
        if given is None:
            return Path(sys.argv[0]).name
        if not re.fullmatch(self.PTRN_APP_NAME, given):
            raise ZenAppException(f"Name {given!r} does not match {self.PTRN_APP_NAME!r}")
        return str(given)

    def _init_config(self, cfgs: Iterable[tuple[str, Any]], **kwargs: Any) -> dict[str, Any]:
        """Return the defaults. A subclass passes on its own: pairs of key and value."""
        base = (
            (self.CONFIG_DEBUG, False),
            (self.CONFIG_QUIET, False),
            (self.CONFIG_VERBOSITY, 0),
            (self.CONFIG_ACTION, None),
            (self.CONFIG_INPUT, None),
            (self.CONFIG_LIMIT, None),
            (self.CONFIG_USER, None),
            (self.CONFIG_GROUP, None),
            (self.CONFIG_CFG_FILE, own_file(self, self.PATH_CFG, ".conf")),
            (self.CONFIG_CFG_DIR, own_file(self, self.PATH_CFG, "")),
            (self.CONFIG_CFG_FILE_S, False),
            (self.CONFIG_CFG_DIR_S, False),
            (self.CONFIG_LOG_FILE, own_file(self, self.PATH_LOG, ".log")),
            (self.CONFIG_LOG_LEVEL, "info"),
            (self.CONFIG_PID_FILE, own_file(self, self.PATH_RUN, ".pid")),
        )
        config = {
            key: kwargs.get(f"default_{key}", value) for key, value, *_ in (*base, *tuple(cfgs))
        }
        for plugin in self._plugins:
            config = plugin.init_config(self, config, **kwargs)
        return config

    # --- hooks of subclasses ----------------------------------------------------------------------

    def _sub_stage_init(self, **kwargs: Any) -> None:
        """Initialize more. Called last by the constructor."""

    def _sub_stage_setup(self) -> None:
        """Set up more. The configuration holds, and the log is open."""

    def _sub_stage_process(self) -> None:
        """Do the work."""
        raise NotImplementedError(f"{type(self).__name__} has no _sub_stage_process().")

    def _sub_stage_teardown(self) -> None:
        """Clean up after the work."""

    # --- the configuration ------------------------------------------------------------------------

    def _configure_from_cli(self) -> None:
        """Take over which configuration file and directory the command line names."""
        for key in (
            self.CONFIG_CFG_FILE,
            self.CONFIG_CFG_DIR,
            self.CONFIG_CFG_FILE_S,
            self.CONFIG_CFG_DIR_S,
        ):
            if self._config_cli.get(key) is not None:
                self.config[key] = self._config_cli[key]

    def _configure_from_file(self) -> None:
        """Read the configuration file."""
        file, silent = self.c(self.CONFIG_CFG_FILE), self.c(self.CONFIG_CFG_FILE_S)
        try:
            self._config_file = jsonconf.config_load(file, silent=silent)
        except FileNotFoundError:
            raise ZenAppSetupException(f"Configuration file {file!r} does not exist") from None
        self.dbgout(f"Configuration file {file!r} was read")

    def _configure_from_dir(self) -> None:
        """Read the files of the configuration directory."""
        directory, silent = self.c(self.CONFIG_CFG_DIR), self.c(self.CONFIG_CFG_DIR_S)
        try:
            self._config_dir = jsonconf.config_load_dir(directory, silent=silent)
        except FileNotFoundError:
            problem = f"Configuration directory {directory!r} does not exist"
            raise ZenAppSetupException(problem) from None
        self.dbgout(f"Configuration directory {directory!r} was read")

    def _configure_merge(self) -> None:
        """Put all sources into `config`: the directory, the file, and then the command line."""
        places = (self.CONFIG_CFG_FILE, self.CONFIG_CFG_DIR)
        for source in (self._config_dir, self._config_file):
            found = (source or {}).items()
            self.config.update((k, v) for k, v in found if v is not None and k not in places)
        self.config.update((k, v) for k, v in self._config_cli.items() if v is not None)

    def _configure_postprocess(self) -> None:
        """Add what follows from the configuration; `config[CORE]` is for derived values."""
        level = self.c(self.CONFIG_LOG_LEVEL).upper()
        self.config[self.CORE] = {
            self.CORE_LOGGING: {
                self.CORE_LOGGING_TOCONS: True,
                self.CORE_LOGGING_TOFILE: True,
                self.CORE_LOGGING_LEVEL: level,
                self.CORE_LOGGING_LEVELF: level,
                self.CORE_LOGGING_LEVELC: level,
            }
        }
        if given := self.config[self.CONFIG_USER]:
            self.config[self.CONFIG_USER] = _account(given, pwd.getpwnam, pwd.getpwuid, "user")
        if given := self.config[self.CONFIG_GROUP]:
            self.config[self.CONFIG_GROUP] = _account(given, grp.getgrnam, grp.getgrgid, "group")

    def _configure_plugins(self) -> None:
        """Configure the plugins."""
        for plugin in self._plugins:
            self.dbgout(f"Configuring plugin {plugin}")
            plugin.configure(self)

    def _configure_check(self) -> None:
        """Check the configuration; raise a `ZenAppSetupException` if it is wrong."""

    # --- the setup --------------------------------------------------------------------------------

    def _stage_setup_configuration(self) -> None:
        """Read, merge, complete and check the configuration."""
        self._configure_from_cli()
        if self.c(self.CONFIG_CFG_FILE):
            self._configure_from_file()
        if self.c(self.CONFIG_CFG_DIR):
            self._configure_from_dir()
        self._configure_merge()
        self._configure_postprocess()
        self._configure_plugins()
        self._configure_check()

    def _stage_setup_privileges(self) -> None:
        """Become the configured user and group, for ever."""
        group, user = self.c(self.CONFIG_GROUP), self.c(self.CONFIG_USER)
        new_group = group and group[1] != os.getgid()
        new_user = user and user[1] != os.getuid()
        if not new_group and not new_user:
            return
        try:
            as_group = resolve_group(group[1]) if group else None
            drop(resolve_user(user[1], as_group) if new_user else None, as_group)
        except (ConfigurationError, ProcessSetupError) as cause:
            raise ZenAppSetupException(str(cause)) from cause

    def _stage_setup_logging(self) -> None:
        """Open the log: on standard error, and in the log file, which may be moved away."""
        logs = self.cc(self.CORE_LOGGING, {})
        self.logger = logging.getLogger(LOGGER)
        self.logger.setLevel(logs[self.CORE_LOGGING_LEVEL])
        if logs[self.CORE_LOGGING_TOCONS]:
            form = "%(asctime)s %(levelname)s: %(message)s"
            _add_handler(self.logger, logging.StreamHandler(), logs[self.CORE_LOGGING_LEVELC], form)
        if logs[self.CORE_LOGGING_TOFILE]:
            form = f"%(asctime)s {self.name} [%(process)d] %(levelname)s: %(message)s"
            file = logging.handlers.WatchedFileHandler(self.c(self.CONFIG_LOG_FILE))
            _add_handler(self.logger, file, logs[self.CORE_LOGGING_LEVELF], form)

    def _stage_setup_plugins(self) -> None:
        """Set up the plugins."""
        for plugin in self._plugins:
            self.dbgout(f"Setting up plugin {plugin}")
            plugin.setup(self)

    def _stage_setup_dump(self) -> None:
        """Log how the application is set up, at DEBUG."""
        self.logger.debug("Name: %s", self.name)
        for title, data in (
            ("Directories", self.paths),
            ("Configuration directory", self._config_dir),
            ("Configuration file", self._config_file),
            ("Command line", self._config_cli),
            ("Configuration", self.config),
            ("Plugins", self._plugins),
        ):
            self.logger.debug("%s:\n%s", title, self.json_dump(data))

    # --- the stages of run() ----------------------------------------------------------------------

    def _stage_setup(self) -> None:
        """Set everything up. A `ZenAppSetupException` ends the application with status 1."""
        try:
            self._stage_setup_configuration()
            self._stage_setup_privileges()
            if self.c(self.CONFIG_LOG_FILE):
                self._stage_setup_logging()
            if self.logger is None:
                self.logger = logging.getLogger(LOGGER)
            self._stage_setup_plugins()
            self._sub_stage_setup()
            self._stage_setup_dump()
        except ZenAppSetupException as cause:
            self.excout(cause)

    def _stage_action(self) -> None:
        """Perform the configured action: the method `cbk_action_*` of its name."""
        name = self.c(self.CONFIG_ACTION)
        try:
            method = self.PTRN_ACTION_CBK + name.lower().replace("-", "_")
            action = getattr(self, method, None)
            if action is None:
                raise ZenAppProcessException(f"There is no action {name!r}")
            action()
        except (subprocess.CalledProcessError, ZenAppException) as cause:
            self.error(f"Action {name!r} failed: {cause}")

    def _stage_process(self) -> None:
        """Do the work."""
        try:
            self._sub_stage_process()
        except (subprocess.CalledProcessError, ZenAppException) as cause:
            self.error(f"The work failed: {cause}")

    def _stage_teardown(self) -> None:
        """Clean up after the work."""
        try:
            self._sub_stage_teardown()
        except ZenAppException as cause:
            self.error(f"The teardown failed: {cause}")

    def run(self) -> NoReturn:
        """Be the whole program, and end the process with `retc`."""
        self._stage_setup()
        try:
            if self.c(self.CONFIG_ACTION):
                self._stage_action()
            else:
                self._stage_process()
                self._stage_teardown()
        except Exception as cause:  # of any hook: it must be in the log
            self.error(cause, trcb=cause.__traceback__)
        self.dbgout(f"Exit status: {self.retc}")
        sys.exit(self.retc)

    def plugin(self) -> None:
        """Only set everything up: the calling program does the rest."""
        self._stage_setup()

    # --- actions ----------------------------------------------------------------------------------

    def cbk_action_config_view(self) -> None:
        """Show the configuration."""
        self.p("Configuration:")
        self.p("\n".join(_tree(self.config)))

    def _utils_detect_actions(self) -> list[str]:
        """Return the names of all actions: the methods `cbk_action_*`."""
        prefix = self.PTRN_ACTION_CBK
        return [
            name.removeprefix(prefix).replace("_", "-").lower()
            for name in sorted({*dir(type(self)), *vars(self)})
            if name.startswith(prefix) and callable(getattr(self, name))
        ]

    # --- utilities --------------------------------------------------------------------------------

    def _get_process_serial(self) -> str:
        """Return the part of file names that is this process's own."""
        if self._process_serial is None:
            self._process_serial = f"{os.getpid():05x}"
        return self._process_serial

    def _get_fn_pidfile(self) -> Any:
        """Return the PID file of this process; its name has the process's serial."""
        serial = f".{self._get_process_serial()}.pid"
        return self.c(self.CONFIG_PID_FILE) and re.sub(
            r"\.pid$", serial, self.c(self.CONFIG_PID_FILE)
        )

    def c(self, key: str, default: Any = None) -> Any:
        """Return the value of a configuration key, or `default`."""
        return self.config.get(key, default)

    def cc(self, key: str, default: Any = None) -> Any:
        """Return a derived value, or `default`."""
        return self.config[self.CORE].get(key, default)

    def p(self, string: str, level: int = 0) -> None:
        """Print, unless `--quiet` is given; with a level, only if `--verbose` is given as often."""
        if not self.c(self.CONFIG_QUIET) and self.c(self.CONFIG_VERBOSITY) >= level:
            sys.stdout.write(f"{string}\n")

    def error(self, error: Any, retc: int | None = None, trcb: TracebackType | None = None) -> None:
        """Log an error, and let the application end with a status.

        Args:
            error: The error.
            retc: The status. Default: 1.
            trcb: Its traceback, to be logged too.
        """
        self.retc = self.RC_FAILURE if retc is None else retc
        log = self.logger or logging.getLogger(LOGGER)
        log.error("%s", error)
        if trcb:
            log.error("\n%s", "".join(traceback.format_tb(trcb)))

    @staticmethod
    def dbgout(message: Any) -> None:
        """Print a debugging message to standard error, if `FLAG_DEBUG` is set."""
        if BaseApp.FLAG_DEBUG:
            sys.stderr.write(f"* {_now()} DBGOUT: {message}\n")

    @staticmethod
    def excout(exception: Any, retc: int | None = None) -> NoReturn:
        """Print an error to standard error, and end the process with a status (default: 1)."""
        sys.stderr.write(f"{_now()} CRITICAL ERROR: {exception}\n")
        sys.exit(BaseApp.RC_FAILURE if retc is None else retc)

    def execute_command(self, command: str, can_fail: bool = False) -> Any:  # noqa: FBT001, FBT002 - pyzenkit's
        """Run a shell command, and log it.

        Args:
            command: The command.
            can_fail: True: return its status. Otherwise return its output.

        Raises:
            subprocess.CalledProcessError: It failed, and must not.
        """
        self.logger.info("Command:\n%s", command)
        result: Any
        if can_fail:
            result = subprocess.call(command, shell=True)  # noqa: S602 - what it is for
        else:
            result = subprocess.check_output(command, shell=True)  # noqa: S602 - as above
        self.logger.debug("Result:\n%s", pprint.pformat(result))
        return result

    @staticmethod
    def json_dump(data: Any, **kwargs: Any) -> str:
        """Return data as JSON; see `jsonconf.json_dump`."""
        return jsonconf.json_dump(data, **kwargs)

    @staticmethod
    def json_save(json_file: str, data: Any, **kwargs: Any) -> bool:
        """Write data to a JSON file; see `jsonconf.json_save`."""
        return jsonconf.json_save(json_file, data, **kwargs)

    @staticmethod
    def json_load(json_file: str) -> Any:
        """Return the data of a JSON file; see `jsonconf.json_load`."""
        return jsonconf.json_load(json_file)

    @staticmethod
    def format_progress_bar(percent: float, bar_len: int = 50) -> str:
        """Return a progress bar for a share from 0 to 1."""
        done = min(int(bar_len * percent), bar_len)
        return f" [{'=' * done:{bar_len}}] {percent * 100:.2f}%"

    @staticmethod
    def draw_progress_bar(percent: float, bar_len: int = 50) -> None:
        """Print a progress bar over the last one."""
        sys.stdout.write(f"\r{BaseApp.format_progress_bar(percent, bar_len)}")
        sys.stdout.flush()


class DemoBaseApp(BaseApp):
    """An application that greets, with its files in /tmp.

    Its configuration file and directory must exist there.

    Args:
        name: The application's name.
        description: One line on its purpose.
    """

    def __init__(self, name: str | None = None, description: str | None = None) -> None:
        super().__init__(
            name=name or "demo-baseapp.py",
            description=description or "A demonstration",
            **{f"path_{kind}": "tmp" for kind in _DIRECTORIES},
        )

    def _sub_stage_process(self) -> None:
        """Greet, and more so with `--verbose`."""
        self.logger.info("The demonstration works; try --help, --verbose and --debug")
        for level in range(4):
            self.p(f"Hello, at verbosity {level}", level)


def add_flag(parser: Any, name: str, meaning: str) -> None:
    """Add an option without a value to a parser or a group; None if it is not given."""
    parser.add_argument(name, action="store_true", default=None, help=meaning)


def own_file(application: BaseApp, kind: str, suffix: str) -> str:
    """Return the path of one of an application's own files: its name, in a directory."""
    return str(Path(application.paths[kind], f"{application.name}{suffix}"))


def _add_handler(logger: Any, handler: logging.Handler, level: str, form: str) -> None:
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(form))
    logger.addHandler(handler)


def _account(given: Any, by_name: Any, by_number: Any, what: str) -> list[Any]:
    """Return the name and number of a user or group, given by either."""
    for find, convert in ((by_name, str), (by_number, int)):
        try:
            found = find(convert(given))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        return [found[0], found[2]]
    raise ZenAppSetupException(f"Unknown {what} {given!r}")


def _tree(value: Mapping[Any, Any], indent: str = "  ") -> Iterable[str]:
    for key in sorted(value, key=str):
        if isinstance(value[key], Mapping):
            yield f"{indent}{key}:"
            yield from _tree(value[key], indent + "  ")
        else:
            yield f"{indent}{key}: {value[key]}"


def _now() -> str:
    return time.strftime("%Y-%m-%d %X")

"""The names of configuration keys, derived values and directories."""

from __future__ import annotations

from zenactors.core.names import DaemonNames


class ApplicationNames(DaemonNames):
    """Constants for `daemon.c(...)`, `daemon.cc(...)`, `daemon.paths[...]` and runlogs."""

    CONFIG_NAME = "name"
    CONFIG_USER = "user"
    CONFIG_GROUP = "group"
    CONFIG_CFG_FILE = "config_file"
    CONFIG_CFG_DIR = "config_dir"
    CONFIG_CFG_FILE_S = "config_file_silent"
    CONFIG_CFG_DIR_S = "config_dir_silent"
    CONFIG_LOG_FILE = "log_file"
    CONFIG_LOG_LEVEL = "log_level"
    CONFIG_PID_FILE = "pid_file"
    CONFIG_STATE_FILE = "state_file"
    CONFIG_RUNLOG_DIR = "runlog_dir"
    CONFIG_CHROOT_DIR = "chroot_dir"
    CONFIG_WORK_DIR = "work_dir"
    CONFIG_UMASK = "umask"
    CONFIG_STATS_INTERVAL = "stats_interval"
    CONFIG_RUNLOG_INTERVAL = "runlog_interval"
    CONFIG_PARALEL = "paralel"
    CONFIG_NODAEMON = "no_daemon"
    CONFIG_ACTION = "action"
    CONFIG_DEBUG = "debug"
    CONFIG_QUIET = "quiet"
    CONFIG_VERBOSITY = "verbosity"
    CONFIG_COMPONENTS = "components"
    CONFIG_SCHEDULE = "schedule"
    CONFIG_SCHEDULE_NEXT = "schedule_next"
    CONFIG_SCHEDULE_AT = "schedule_at"
    CONFIG_SCHEDULE_AFTER = "schedule_after"

    CORE_LOGGING = "logging"
    CORE_LOGGING_TOFILE = "to_file"
    CORE_LOGGING_TOCONS = "to_console"
    CORE_LOGGING_LEVEL = "level"
    CORE_LOGGING_LEVELF = "level_file"
    CORE_LOGGING_LEVELC = "level_console"
    CORE_STATE = "state"
    CORE_STATE_SAVE = "save"

    PATH_BIN = "bin"
    PATH_CFG = "cfg"
    PATH_LOG = "log"
    PATH_VAR = "var"
    PATH_RUN = "run"
    PATH_TMP = "tmp"

    RLKEY_STATISTICS = "statistics"

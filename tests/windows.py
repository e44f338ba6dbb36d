"""Shows btxrd a system like Windows. As `sitecustomize.py`, Python loads this file at its start.

The modules of btxrd find no Unix module, and find `os`, `signal`, `subprocess` and `sys` as Windows
has them. Other packages find the real ones. Ctrl-Break, which Windows has in place of SIGTERM, is
SIGUSR1 here.
"""

import builtins
import os
import signal
import subprocess
import sys
from types import ModuleType

UNIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
UNIX_NAMES = {
    "os": {
        "fork", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "sched_getaffinity", "setsid",
        "statvfs", "sysconf", "uname",
    },
    "signal": {
        "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2",
        "alarm", "pause", "pthread_kill", "setitimer", "sigwait",
    },
}  # fmt: skip


class WindowsPopen(subprocess.Popen):
    def __init__(self, *args, pass_fds=(), preexec_fn=None, start_new_session=False, **options):
        assert not (pass_fds or preexec_fn or start_new_session), "not on Windows"
        super().__init__(*args, **options)


WINDOWS_NAMES = {
    "os": {"name": "nt"},
    "signal": {"SIGBREAK": signal.SIGUSR1, "CTRL_BREAK_EVENT": signal.SIGUSR1},
    "subprocess": {"CREATE_NEW_PROCESS_GROUP": 0, "Popen": WindowsPopen},
    "sys": {"platform": "win32"},
}


class View(ModuleType):
    def __init__(self, real):
        super().__init__(real.__name__)
        missing = UNIX_NAMES.get(real.__name__, set())
        self.__dict__.update({"_real": real, "_missing": missing} | WINDOWS_NAMES[real.__name__])

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"{self.__name__}.{name} is hidden")
        return getattr(self._real, name)

    def __setattr__(self, name, value):
        setattr(self._real, name, value)


VIEWS = {module.__name__: View(module) for module in (os, signal, subprocess, sys)}
real_import = builtins.__import__


def import_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    importer = globals or {}
    is_main = importer.get("__name__") == "__main__" and "/btxrd/" in importer.get("__file__", "")
    if is_main or importer.get("__name__", "").startswith(("btxrd", "hydra_plugins.btxrd")):
        if name in UNIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if level == 0 and name in VIEWS:
            return VIEWS[name]
    return real_import(name, globals, locals, fromlist, level)


builtins.__import__ = import_as_on_windows

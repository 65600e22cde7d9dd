"""A cage for the kubectl child, by Landlock (Linux 5.13 and later, no privilege needed; landlock(7)).

Inside it a process can read its own home, the discovery cache and a few files that say nothing, execute kubectl and
nothing else, and connect to one TCP port: the executor's own proxy. So it cannot read the service-account token, the
executor's environment in /proc or any other file, whatever its arguments make it try.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_CREATE_VERSION = 1
_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 38, 4

# include/uapi/linux/landlock.h
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_FS_V1 = (1 << 13) - 1
_NET_BIND, _NET_CONNECT = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1

_READ = _READ_FILE | _READ_DIR
_READ_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

_HARMLESS = ("/dev/null", "/dev/zero", "/dev/urandom", "/usr/share/zoneinfo", "/etc/localtime")


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Sandbox:
    """Makes cages. ``abi`` is the kernel's Landlock version; 0 where there is none."""

    def __init__(self) -> None:
        self._libc: ctypes.CDLL | None = None
        self.abi = 0
        if sys.platform != "linux":  # elsewhere the numbers below are other system calls
            return
        try:
            self._libc = _libc()
            self.abi = max(0, self._libc.syscall(_CREATE_RULESET, None, 0, _CREATE_VERSION))
        except (OSError, AttributeError):
            self._libc = None

    @property
    def description(self) -> str:
        """ "landlock-v7", or "none"."""
        return f"landlock-v{self.abi}" if self.abi else "none"

    def hide_this_process(self) -> None:
        """Make /proc/<pid> of this process unreadable for its own user: environment and memory hold secrets."""
        if self._libc is not None:
            self._libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

    def cage(self, *, execute: Path, writable: Sequence[Path], port: int) -> Cage:
        """Build a cage for one child; the caller closes it after the child has started."""
        return Cage(self._libc, self.abi, execute=execute, writable=writable, port=port)


class Cage:
    """One child's rules: pass ``enter`` as the child's preexec function."""

    def __init__(
        self, libc: ctypes.CDLL | None, abi: int, *, execute: Path, writable: Sequence[Path], port: int
    ) -> None:
        self._fd = -1
        self.enter: Callable[[], None] | None = None
        if libc is None or abi == 0:
            return
        self._abi, self._syscall = abi, libc.syscall
        attr = _RulesetAttr(
            self._handled_fs(),
            _NET_BIND | _NET_CONNECT if abi >= 4 else 0,
            _SCOPE_ABSTRACT_SOCKET | _SCOPE_SIGNAL if abi >= 6 else 0,
        )
        size = 8 if abi < 4 else 16 if abi < 6 else 24
        self._fd = self._check(self._syscall(_CREATE_RULESET, ctypes.byref(attr), size, 0))
        try:
            self._allow(execute, _EXECUTE | _READ_FILE)
            for path in _HARMLESS:
                self._allow(Path(path), _READ | (_WRITE_FILE if path == "/dev/null" else 0))
            for folder in writable:
                self._allow(folder, _READ_WRITE)
            if abi >= 4:
                self._allow_connect(port)
        except BaseException:
            self.close()
            raise
        restrict, prctl, fd = libc.syscall, libc.prctl, self._fd

        def enter() -> None:
            # Runs between fork and exec. A child that cannot be caged must not run.
            if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or restrict(_RESTRICT_SELF, fd, 0):
                os._exit(126)

        self.enter = enter

    def close(self) -> None:
        """Release the rules' descriptor. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _handled_fs(self) -> int:
        rights = _FS_V1
        if self._abi >= 2:
            rights |= _REFER
        if self._abi >= 3:
            rights |= _TRUNCATE
        return rights

    def _allow(self, path: Path, rights: int) -> None:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            allowed = rights & self._handled_fs() & (-1 if path.is_dir() else _FILE_RIGHTS)
            rule = _PathBeneath(allowed, fd)
            self._check(self._syscall(_ADD_RULE, self._fd, _RULE_PATH_BENEATH, ctypes.byref(rule), 0))
        finally:
            os.close(fd)

    def _allow_connect(self, port: int) -> None:
        rule = _NetPort(_NET_CONNECT, port)
        self._check(self._syscall(_ADD_RULE, self._fd, _RULE_NET_PORT, ctypes.byref(rule), 0))

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"landlock: {os.strerror(number)}")
        return result

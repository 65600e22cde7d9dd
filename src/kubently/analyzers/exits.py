"""What an exit code says, for a person who does not know the table by heart."""

from __future__ import annotations

_CODES = {
    0: "the main process ended by itself without an error, but the pod's restartPolicy wants it to keep running",
    1: "the application ended with a general error",
    2: "the application ended with a usage error; Go programs end so after a panic",
    126: "the command was found but cannot be executed: not executable, or a directory",
    127: "the command or a library it needs was not found in the image",
    128: "the runtime could not start the command",
    255: "the application ended with an out-of-range or unknown error",
}

_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL: an instruction that this processor does not have",
    5: "SIGTRAP",
    6: "SIGABRT: the program gave up, for example on a failed assertion",
    7: "SIGBUS: a bad memory access",
    8: "SIGFPE: an arithmetic error",
    9: "SIGKILL: killed from outside, by the kubelet, the kernel or a person",
    10: "SIGUSR1",
    11: "SIGSEGV: a bad memory access in native code",
    13: "SIGPIPE",
    14: "SIGALRM",
    15: "SIGTERM: asked to end from outside",
    24: "SIGXCPU",
    25: "SIGXFSZ",
    31: "SIGSYS: a system call that the seccomp profile forbids",
}


def explain(exit_code: int) -> str:
    """Say in words what *exit_code* means; empty if it is the application's own."""
    if exit_code in _CODES:
        return _CODES[exit_code]
    if 128 < exit_code < 128 + 65:
        number = exit_code - 128
        return f"ended by signal {number} ({_SIGNALS[number]})" if number in _SIGNALS else f"ended by signal {number}"
    return ""

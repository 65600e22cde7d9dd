from __future__ import annotations

import pytest

from kubently.analyzers import loglines

PYTHON = """INFO start
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    1/0
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    main()
RuntimeError: cannot compute
bye
"""
JAVA = """INFO Starting
Exception in thread "main" java.lang.IllegalStateException: no config
\tat com.example.Main.main(Main.java:7)
Caused by: java.io.FileNotFoundException: /etc/app.yaml
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (PYTHON, "RuntimeError: cannot compute"),
        (JAVA, 'Exception in thread "main" java.lang.IllegalStateException: no config'),
        ("listening\npanic: boom\n\ngoroutine 1 [running]:\n", "panic: boom"),
        (
            "Error: Cannot find module '/app/server.js'\n    at Module._load\n",
            "Error: Cannot find module '/app/server.js'",
        ),
        ('{"level":"info"}\n{"level":"fatal","msg":"no db"}\n{"level":"info"}', '{"level":"fatal","msg":"no db"}'),
        ("2026-03-02T09:00:00.123Z ERROR no db\n2026-03-02 09:00:01 error again", "ERROR no db"),
        ("[2026/03/02 09:00:00] nginx: [emerg] bind() failed", "nginx: [emerg] bind() failed"),
        ("loading\nworking\n", ""),
        ("", ""),
    ],
)
def test_cause_line(log: str, cause: str) -> None:
    assert loglines.cause_line(log) == cause


def test_excerpt_of_a_traceback_is_the_whole_traceback() -> None:
    excerpt = loglines.excerpt(
        "noise\n" * 50 + "Traceback (most recent call last):\n  File \"a.py\"\n    x\nKeyError: 'a'\n"
    )

    assert excerpt.splitlines() == ["Traceback (most recent call last):", '  File "a.py"', "    x", "KeyError: 'a'"]


def test_excerpt_of_a_log_without_errors_is_its_end() -> None:
    excerpt = loglines.excerpt("\n".join(f"line {index}" for index in range(100)))

    assert excerpt.splitlines()[-1] == "line 99"
    assert len(excerpt.splitlines()) == 12


def test_a_huge_line_is_cut() -> None:
    assert len(loglines.cause_line("ERROR " + "x" * 10_000_000)) <= 500

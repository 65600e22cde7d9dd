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
        (JAVA, "java.io.FileNotFoundException: /etc/app.yaml"),
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


def test_excerpt_of_a_chain_of_exceptions_is_all_of_it() -> None:
    assert loglines.excerpt(PYTHON).splitlines()[:10] == [line for line in PYTHON.splitlines()[1:] if line][:10]
    assert loglines.excerpt(JAVA) == JAVA.partition("\n")[2].rstrip()


def test_excerpt_of_a_panic_holds_its_goroutine() -> None:
    panic = "panic: no route\n\ngoroutine 1 [running]:\nmain.connect(0x1)\n\t/app/main.go:12 +0x1d\nmain.main()\n"

    assert loglines.excerpt("ready\n" + panic) == "\n".join(line for line in panic.splitlines() if line)


def test_excerpt_of_a_log_without_errors_is_its_end() -> None:
    words = [f"step {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]

    assert loglines.excerpt("\n".join(words)).splitlines() == words[-12:]


def test_what_is_said_again_and_again_is_said_once() -> None:
    log = "".join(
        f"2026-03-02T09:00:{second:02} ERROR request {second * 7919:x}{second:08x} from 10.0.0.{second}:443 failed\n"
        for second in range(10, 60)
    )

    said = loglines.excerpt(f"{log}shutting down\n")

    assert said.splitlines()[1:] == ["shutting down"]
    assert said.splitlines()[0].endswith("failed (50 times)")
    assert "10.0.0.59" in said


def test_of_a_huge_trace_the_middle_is_left_out() -> None:
    frames = "".join(f"\tat com.example.Deep.call{number}(Deep.java:{number})\n" for number in range(300))

    said = loglines.excerpt(f'Exception in thread "main" java.lang.StackOverflowError\n{frames}')

    assert said.splitlines()[0].startswith("Exception in thread")
    assert "    ... 241 lines ..." in said.splitlines()
    assert said.splitlines()[-1].strip() == "at com.example.Deep.call299(Deep.java:299)"


def test_a_huge_line_is_cut() -> None:
    assert len(loglines.cause_line("ERROR " + "x" * 10_000_000)) <= 500

from __future__ import annotations

import pytest
from tests.testbed.images import dockerfile
from tests.testbed.images.dockerfile import Copy, Instruction

TEXT = r"""
# What it is.
ARG BASE_DIGEST
FROM debian:trixie-slim@${BASE_DIGEST} AS base
RUN one \
    # why
    && two
ENV A=1 \
    B="two words"
FROM base AS last
COPY --from=base /here /there
USER 1000:1000
"""


def test_stages_and_continued_lines() -> None:
    stages = dockerfile.parse(TEXT, {"BASE_DIGEST": "sha256abc"})

    assert list(stages) == ["base", "last"]
    assert stages["base"].base == "debian:trixie-slim@sha256abc"
    assert stages["base"].instructions[0] == Instruction("RUN", "one && two")
    assert dockerfile.pairs(stages["base"].instructions[1].text) == {"A": "1", "B": "two words"}
    assert stages["last"].base == "base"
    assert dockerfile.copy(stages["last"].instructions[0].text) == Copy(("/here",), "/there", "base")


def test_base_without_a_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="BASE_DIGEST"):
        dockerfile.parse(TEXT, {})


@pytest.mark.parametrize("text", ["FROM scratch\nADD a b", "FROM scratch\nHEALTHCHECK NONE", "RUN true"])
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not known here"):
        dockerfile.parse(text, {})


def test_options_of_copy_are_refused() -> None:
    with pytest.raises(ValueError, match="--chown"):
        dockerfile.copy("--chown=1 a b")


def test_entrypoint_by_a_shell_is_refused() -> None:
    with pytest.raises(ValueError):
        dockerfile.command("kubently api")


@pytest.mark.parametrize(
    ("path", "is_out"),
    [
        ("src/kubently/a.py", False),
        ("src/kubently/__pycache__/a.pyc", True),
        ("pyproject.toml", False),
        ("tests/a.py", True),
        ("src2/a", True),
        ("__pycache__/a", True),
    ],
)
def test_ignored_files(path: str, is_out: bool) -> None:
    patterns = "# only these\n*\n!src\n!pyproject.toml\n**/__pycache__\n"

    assert dockerfile.ignores(patterns, path) is is_out

"""Numbers and quotes as Go writes them; the examples come from a Go program."""

import pytest

from kubently.executor.native import golang
from kubently.executor.native.unsure import Unsure

EXAMPLES = [
    (1.0, "1", "1"),
    (1e5, "100000", "100000"),
    (1e6, "1000000", "1e+06"),
    (1234567.5, "1234567.5", "1.2345675e+06"),
    (1e20, "100000000000000000000", "1e+20"),
    (1e21, "1e+21", "1e+21"),
    (1e-4, "0.0001", "0.0001"),
    (1e-5, "0.00001", "1e-05"),
    (1e-6, "0.000001", "1e-06"),
    (1e-7, "1e-7", "1e-07"),
    (1.5e-9, "1.5e-9", "1.5e-09"),
    (123456789012345678.0, "123456789012345680", "1.2345678901234568e+17"),
    (2.5e300, "2.5e+300", "2.5e+300"),
    (-0.25, "-0.25", "-0.25"),
    (0.0, "0", "0"),
]


@pytest.mark.parametrize(("number", "in_json", "shortest"), EXAMPLES)
def test_numbers_are_written_as_go_writes_them(number: float, in_json: str, shortest: str) -> None:
    assert golang.json_float(number) == in_json
    assert golang.shortest_float(number) == shortest


def test_quotes_and_backslashes_are_escaped() -> None:
    assert golang.quote('a "b" \\c') == '"a \\"b\\" \\\\c"'


@pytest.mark.parametrize("text", ["é", "a\nb", "\x7f"])
def test_text_that_go_may_quote_otherwise_is_left_to_kubectl(text: str) -> None:
    with pytest.raises(Unsure):
        golang.quote(text)

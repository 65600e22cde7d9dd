"""What a person may give the client by mistake."""

import pytest

from kubently.client import Api
from kubently.errors import ConfigError


@pytest.mark.parametrize("url", ["https://[", "https://h:port", "https://h:70000"])
def test_a_url_that_is_half_one_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ConfigError, match="is no URL of an API"):
        Api(url, "key")


@pytest.mark.parametrize("key", ["kbk_1\nX-Evil: 1", "kbk_\u20ac", "kbk_\ud800"])
def test_a_key_that_no_header_can_carry_is_refused_with_a_sentence(key: str) -> None:
    with pytest.raises(ConfigError, match="API key"):
        Api("http://127.0.0.1:1", key).get("/health")

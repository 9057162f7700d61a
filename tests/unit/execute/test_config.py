"""Which exchange EXECUTE may be pointed at."""

import pytest
from pydantic import ValidationError

from services.execute.config import ExchangeSettings

TOLD = {
    "amqp_url": "amqp://none",
    "redis_url": "redis://none",
    "postgres_url": "postgresql://none",
    "api_key": "an-operator-key-of-tests",
    "exchange_api_key": "paper",
    "exchange_api_secret": "paper",
}


@pytest.mark.parametrize("url", ["https://fapi.binance.com", "https://demo-fapi.Binance.com"])
def test_paper_is_not_played_on_a_real_exchange(url: str) -> None:
    """Its address alone would pass by the confirmation of mode live."""
    with pytest.raises(ValidationError, match="mode paper"):
        ExchangeSettings.model_validate(TOLD | {"exchange_base_url": url})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8110", "http://paper_exchange:8110"])
def test_paper_is_played_on_a_paper_exchange(url: str) -> None:
    assert ExchangeSettings.model_validate(TOLD | {"exchange_base_url": url}).exchange_base_url == url

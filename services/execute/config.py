"""What can be set about EXECUTE and its market feed: every limit named with its unit. Knows no other
service.
"""

import re
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from shared.settings import Settings

REAL_EXCHANGES = r"(?i)\bbinance"
LIVE_CONFIRMATION = "I understand that real money is at risk"


class ExchangeSettings(Settings):
    """Where the exchange is and who we are there. Paper, demo and live differ in this and in nothing else."""

    exchange_base_url: str = Field(
        "http://127.0.0.1:8110",
        pattern=r"^https?://[^/]+$",
        description="Base URL of the exchange in mode paper; demo and live use the exchange's own addresses.",
    )
    exchange_api_key: SecretStr = Field(
        description="API key at the exchange. It must not have the right to withdraw."
    )
    exchange_api_secret: SecretStr = Field(description="Secret of that API key; signs every order.")
    exchange_timeout_ms: int = Field(5_000, ge=500, le=30_000, description="Time-out of one request, ms.")
    recv_window_ms: int = Field(
        2_000,
        ge=500,
        le=2_000,
        description="How late an order may reach the exchange, ms; bounds a frozen sender.",
    )
    live_confirmation: str = Field("", description=f"Mode live only: must read '{LIVE_CONFIRMATION}'.")

    @model_validator(mode="after")
    def _live_is_confirmed(self) -> Self:
        if self.mode == "live" and self.live_confirmation != LIVE_CONFIRMATION:
            raise ValueError(f"mode live needs PHOENIX_LIVE_CONFIRMATION='{LIVE_CONFIRMATION}'")
        if self.mode == "paper" and re.search(REAL_EXCHANGES, self.exchange_base_url):
            raise ValueError("mode paper is for a paper exchange: PHOENIX_EXCHANGE_BASE_URL is a real one")
        return self


class ExecuteSettings(ExchangeSettings):
    """How EXECUTE enters, protects, closes and reconciles."""

    execute_db_password: SecretStr = Field(description="Password of the database role phoenix_execute.")
    entry_order: Literal["limit_ioc", "market"] = Field("limit_ioc", description="How an entry is sent.")
    slippage_tolerance: Decimal = Field(
        Decimal("0.001"),
        gt=0,
        le=Decimal("0.05"),
        description="How far past the best price an entry may fill, fraction.",
    )
    price_drift_max: Decimal = Field(
        Decimal("0.005"),
        gt=0,
        le=Decimal("0.1"),
        description="P8: an entry expires when the price moved further since the decision, fraction.",
    )
    trigger_price: Literal["MARK_PRICE", "CONTRACT_PRICE"] = Field(
        "MARK_PRICE", description="Which price triggers stop-loss and take-profit."
    )
    market_data_age_s_max: Decimal = Field(
        Decimal(5), gt=0, le=60, description="Older prices are asked from the exchange, s."
    )
    protection_timeout_s: Decimal = Field(
        Decimal(10),
        gt=0,
        le=60,
        description="P4: longest unprotected time before the position is flattened, s.",
    )
    lookup_timeout_s: Decimal = Field(
        Decimal(10), ge=1, le=60, description="P6: how long a lost answer is looked up past recvWindow, s."
    )
    reconcile_interval_s: Decimal = Field(
        Decimal(15), ge=1, le=300, description="P7: how often we compare with the exchange, s."
    )
    snapshot_interval_s: Decimal = Field(
        Decimal(5), ge=1, le=10, description="How often RISK is told the account as it is, s."
    )
    trades_kept_days: int = Field(
        3_650,
        ge=365,
        le=36_500,
        description="Entries that ended longer ago are deleted, with orders and fills, days; mind what"
        " your tax office asks for.",
    )
    equity_kept_days: int = Field(
        180, ge=31, le=3_650, description="Points of the equity curve older than this are deleted, days."
    )


class FeedSettings(ExchangeSettings):
    """How the market feed watches."""

    feed_db_password: SecretStr = Field(description="Password of the database role phoenix_feed.")
    feed_symbols: str = Field(
        "BTCUSDT,ETHUSDT,BNBUSDT,ADAUSDT,DOGEUSDT,XRPUSDT,SOLUSDT,AVAXUSDT,DOTUSDT,LINKUSDT",
        description="Symbols that are watched and can be traded; `*` for all that the exchange lists.",
    )
    feed_flush_ms: int = Field(50, ge=5, le=1_000, description="Ticks are conflated this long, ms.")
    feed_silence_s_max: Decimal = Field(
        Decimal(10), ge=2, le=120, description="A stream silent for longer is re-opened, s."
    )
    bars_kept_days: int = Field(90, ge=1, le=1_000, description="1 m bars older than this are deleted, days.")

"""The paper exchange's settings: command line options, each also an environment variable PHOENIX_PAPER_*.

Knows names, units, ranges and defaults. Must never be read by the pure core, which is handed values.
"""

from decimal import Decimal
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from infrastructure.paper_exchange.account import HISTORY_KEPT, Terms
from infrastructure.paper_exchange.market import BARS_KEPT
from infrastructure.paper_exchange.matching import BookShape
from infrastructure.paper_exchange.symbols import MAX_OPEN_ALGOS, MAX_OPEN_ORDERS, SYNTHETIC_MAX
from shared.settings import FileSettings


class PaperSettings(FileSettings):
    """Everything that can be set; the command line wins over the environment."""

    model_config = SettingsConfigDict(
        env_prefix="PHOENIX_PAPER_",
        cli_kebab_case=True,
        cli_prog_name="python -m infrastructure.paper_exchange",
        frozen=True,
        extra="ignore",
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8110, ge=0, le=65535, description="port to listen on; 0 lets the system choose")
    data_dir: Path = Field(Path(".phoenix/paper"), description="directory of snapshot and journal")
    seed: int = Field(95, ge=0, description="seed of the random walk")
    wallet_usdt: Decimal = Field(Decimal(10_000), ge=0, description="wallet of a new account, USDT")
    tape: Path | None = Field(None, description="CSV file of minute bars to play")
    tape_symbol: str = Field("BTCUSDT", description="symbol that the tape prices")
    tape_speed: int = Field(
        60, ge=1, le=100_000, description="how many seconds of the tape pass in one second"
    )
    symbols_extra: int = Field(0, ge=0, le=SYNTHETIC_MAX, description="synthetic symbols to list")
    symbols_named: str = Field("", description="further symbols to list, by name and separated by commas")
    tick_ms: int = Field(200, ge=10, le=60_000, description="time between price moves, ms")
    history_bars: int = Field(BARS_KEPT, ge=1, le=BARS_KEPT, description="minute bars present at the start")
    synthetic_history_bars: int = Field(200, ge=1, le=BARS_KEPT, description="the same for synthetic symbols")
    fsync: bool = Field(False, description="force every record to the disk before the answer")
    omit_average: bool = Field(False, description="leave avgPrice and cumQuote out of order answers")
    weight_limit_1m: int = Field(2_400, ge=1, description="request weight per minute and address")
    order_limit_10s: int = Field(300, ge=1, description="orders per 10 s")
    order_limit_1m: int = Field(1_200, ge=1, description="orders per minute")
    open_orders_max: int = Field(MAX_OPEN_ORDERS, ge=1, description="open orders per account")
    open_algos_max: int = Field(MAX_OPEN_ALGOS, ge=1, description="open conditional orders per account")
    history_kept: int = Field(
        HISTORY_KEPT,
        ge=100,
        le=100_000,
        description="done orders and done conditional orders remembered per symbol; trades twice, income "
        "rows four times as many",
    )
    taker_fee: Decimal = Field(Decimal("0.0005"), ge=0, lt=1, description="taker fee, fraction of notional")
    maker_fee: Decimal = Field(Decimal("0.0002"), ge=0, lt=1, description="maker fee, fraction of notional")
    spread_ratio: Decimal = Field(Decimal("0.00001"), ge=0, lt=1, description="spread, fraction of price")
    level_gap_ratio: Decimal = Field(
        Decimal("0.00002"), ge=0, lt=1, description="gap between book levels, fraction of price"
    )
    level_depth_usdt: Decimal = Field(Decimal(50_000), gt=0, description="depth of the best level, USDT")
    api_key: SecretStr = Field(
        SecretStr("paper"),
        validation_alias=AliasChoices("PHOENIX_EXCHANGE_API_KEY", "api_key"),
        description="API key that is accepted",
    )
    api_secret: SecretStr = Field(
        SecretStr("paper"),
        validation_alias=AliasChoices("PHOENIX_EXCHANGE_API_SECRET", "api_secret"),
        description="secret that signatures are made with",
    )

    def terms(self) -> Terms:
        """The terms of business for the core."""
        return Terms(
            taker_fee=self.taker_fee,
            maker_fee=self.maker_fee,
            open_orders_max=self.open_orders_max,
            open_algos_max=self.open_algos_max,
            history_kept=self.history_kept,
            book=BookShape(self.spread_ratio, self.level_gap_ratio, self.level_depth_usdt),
        )

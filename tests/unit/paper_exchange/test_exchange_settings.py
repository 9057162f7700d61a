"""Settings by command line and environment, and the claim on the data directory."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from infrastructure.paper_exchange.config import PaperSettings
from infrastructure.paper_exchange.server import DataDirectoryInUse, lock_directory
from infrastructure.paper_exchange.symbols import listed_symbols


def test_the_defaults_need_nothing() -> None:
    settings = CliApp.run(PaperSettings, cli_args=[])
    assert (settings.port, settings.seed, settings.wallet_usdt) == (8110, 95, Decimal(10_000))
    assert settings.api_key.get_secret_value() == "paper"
    assert "paper" not in repr(settings.api_secret)


def test_every_option_is_also_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOENIX_PAPER_TAPE_SPEED", "7")
    monkeypatch.setenv("PHOENIX_PAPER_SYMBOLS_EXTRA", "3")
    monkeypatch.setenv("PHOENIX_EXCHANGE_API_KEY", "mine")
    settings = CliApp.run(PaperSettings, cli_args=[])
    assert (settings.tape_speed, settings.symbols_extra) == (7, 3)
    assert settings.api_key.get_secret_value() == "mine"


def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOENIX_PAPER_PORT", "1000")
    settings = CliApp.run(PaperSettings, cli_args=["--port", "2000", "--tick-ms", "50", "--data-dir", "x"])
    assert (settings.port, settings.tick_ms, settings.data_dir) == (2000, 50, Path("x"))


@pytest.mark.parametrize(
    "option", [["--port", "70000"], ["--tick-ms", "1"], ["--symbols-extra", "1000"], ["--history-kept", "5"]]
)
def test_values_out_of_range_are_refused(option: list[str]) -> None:
    with pytest.raises(ValidationError):
        CliApp.run(PaperSettings, cli_args=option)


def test_a_data_directory_belongs_to_one_exchange(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    with pytest.raises(DataDirectoryInUse):
        lock_directory(tmp_path)
    os.close(lock)
    os.close(lock_directory(tmp_path))


def test_names_of_every_shape_can_be_listed() -> None:
    listed = listed_symbols(1, ["WUSDT", "1000PEPEUSDT", "币安人生USDT"])
    assert list(listed)[-4:] == ["SYN001USDT", "WUSDT", "1000PEPEUSDT", "币安人生USDT"]
    assert listed["币安人生USDT"].base == "币安人生"

"""What the log says about orders."""

from structlog.testing import capture_logs

from infrastructure.paper_exchange.event_log import log_events
from infrastructure.paper_exchange.values import Side
from tests.unit.paper_exchange.builders import desk


def test_each_thing_that_happened_is_one_line() -> None:
    trader = desk()
    trader.market(Side.BUY, "0.1", client_id="entry")
    trader.stop(Side.SELL, "49000", client_id="stop")
    trader.limit(Side.BUY, "0.1", "48000", client_id="rest")
    trader.price("48900")
    with capture_logs() as lines:
        log_events(trader.events)
    told = [(line["event"], line.get("client_order_id") or line.get("client_algo_id")) for line in lines]
    assert told == [
        ("order_trade", "entry"),
        ("algo_new", "stop"),
        ("order_new", "rest"),
        ("algo_triggering", "stop"),
        ("algo_triggered", "stop"),
        ("order_trade", "stop"),
        ("algo_finished", "stop"),
    ]
    assert lines[0]["status"] == "FILLED"
    assert lines[0]["symbol"] == "BTCUSDT"

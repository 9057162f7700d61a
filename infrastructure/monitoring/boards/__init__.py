"""The four dashboards as tables of panels; `python -m infrastructure.monitoring` writes Grafana's files."""

from infrastructure.monitoring.boards import infrastructure, overview, risk, trading
from infrastructure.monitoring.panels import Board

BOARDS: tuple[Board, ...] = (overview.BOARD, trading.BOARD, risk.BOARD, infrastructure.BOARD)

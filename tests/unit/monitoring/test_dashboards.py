"""Dashboards: the files in git are what the tables give, and such that Grafana loads them."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from infrastructure.local.layout import REPOSITORY
from infrastructure.monitoring.__main__ import FOLDER, files
from infrastructure.monitoring.boards import BOARDS
from infrastructure.monitoring.grafana_json import COLUMNS, DATASOURCE, dashboard
from infrastructure.monitoring.panels import Board

PROVISIONING = REPOSITORY / "infrastructure" / "monitoring" / "grafana" / "provisioning"
KNOWN_KINDS = {"row", "timeseries", "stat", "bargauge", "table"}


def test_the_files_are_what_the_tables_give() -> None:
    given = dict(files().items())
    assert {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == given, (
        "run python -m infrastructure.monitoring"
    )
    assert {path.stem for path in given} == {"overview", "trading", "risk", "infrastructure"}


def models() -> list[dict[str, Any]]:
    """Return the dashboards as the files hold them."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model["uid"]))
def test_a_dashboard_is_one_that_grafana_loads(model: dict[str, Any]) -> None:
    assert model["schemaVersion"] >= 39, "Grafana 11"
    assert "id" not in model, "a database number of another Grafana"
    assert 1 <= len(model["uid"]) <= 40
    panels = model["panels"]
    assert not [number for number, times in Counter(panel["id"] for panel in panels).items() if times > 1]
    assert {panel["type"] for panel in panels} <= KNOWN_KINDS
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"] == DATASOURCE
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert all(target["expr"] and target["refId"] for target in panel["targets"])


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model["uid"]))
def test_no_panel_covers_another_or_hangs_over_the_edge(model: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in model["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, (a, b)


def test_dashboards_are_told_apart() -> None:
    assert len({board.uid for board in BOARDS}) == len(BOARDS)
    assert len({board.title for board in BOARDS}) == len(BOARDS)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board.uid))
def test_a_variable_that_a_query_uses_is_there(board: Board) -> None:
    names = {variable["name"] for variable in dashboard(board)["templating"]["list"]}
    used = any("$service" in query.expr for panel in board.panels for query in panel.queries)
    assert used == ("service" in names)


def test_an_alarm_below_the_warning_colours_downwards() -> None:
    [today] = [panel for panel in BOARDS[0].panels if panel.title == "Today"]
    [shown] = [panel for panel in dashboard(BOARDS[0])["panels"] if panel["title"] == "Today"]
    steps = shown["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, today.alarm_at, today.warn_at]
    assert [step["color"] for step in steps][::2] == ["red", "green"]


def test_the_provisioned_source_is_the_one_that_the_panels_name() -> None:
    [source] = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == DATASOURCE
    [provider] = yaml.safe_load((PROVISIONING / "dashboards" / "phoenix.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert Path(FOLDER).is_dir()

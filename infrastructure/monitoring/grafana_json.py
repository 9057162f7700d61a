"""Our panels as Grafana reads them (11 and 12): dashboard JSON with positions, ids, units, thresholds.

Pure: the same board always gives the same text, so that a changed file shows in a review. Nothing else knows
Grafana's format.
"""

import json
from collections.abc import Iterator
from typing import Any

from infrastructure.monitoring.panels import OURS, Board, Kind, Panel

SCHEMA_VERSION = 39
"""Grafana 11's; later versions migrate it when they load it."""
DATASOURCE = {"type": "prometheus", "uid": "phoenix-prometheus"}
COLUMNS = 24
HEIGHTS = {Kind.NUMBER: 4, Kind.LINES: 8, Kind.BARS: 8, Kind.TABLE: 8}
REFRESH = "10s"

GREEN, AMBER, RED = "green", "#EAB839", "red"


def dashboard_text(board: Board) -> str:
    """Return the file of a dashboard."""
    return json.dumps(dashboard(board), indent=1, ensure_ascii=False) + "\n"


def dashboard(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON model."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["phoenix95"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": REFRESH,
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_service_choice()] if board.has_service_choice else []},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "Phoenix 95", "tags": ["phoenix95"], "asDropdown": False}],
        "panels": list(_placed(board)),
    }


def _placed(board: Board) -> Iterator[dict[str, Any]]:
    """Yield rows and panels from left to right, a new line where one is full."""
    number, top = 0, 0
    for row in board.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        left, top, tallest = 0, top + 1, 0
        for panel in row.panels:
            height = HEIGHTS[panel.kind]
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            number += 1
            position = {"x": left, "y": top, "w": panel.width, "h": height}
            yield _panel(number, panel) | {"gridPos": position}
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "targets": list(_targets(panel)),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    } | ({"transformations": _columns()} if panel.kind is Kind.TABLE else {})


def _targets(panel: Panel) -> Iterator[dict[str, Any]]:
    is_now = panel.kind is Kind.TABLE
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        yield {
            "refId": letter,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "range": not is_now,
            "instant": is_now,
            "format": "table" if is_now else "time_series",
        }


def _defaults(panel: Panel) -> dict[str, Any]:
    words = {str(value): {"text": word, "index": value} for value, word in enumerate(panel.words)}
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "mappings": [{"type": "value", "options": words}] if words else [],
        "thresholds": _thresholds(panel),
    }
    if panel.kind is Kind.LINES:
        has_thresholds = len(defaults["thresholds"]["steps"]) > 1
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.is_stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if has_thresholds else "off"},
        }
    else:
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind is Kind.BARS:
        defaults |= {"min": 0, "max": 1}
    return defaults


def _thresholds(panel: Panel) -> dict[str, Any]:
    """Return colours from below upwards; where the alarm is below the warning, low is what is bad."""
    warn_at, alarm_at = panel.warn_at, panel.alarm_at
    steps: list[dict[str, Any]] = [{"color": GREEN, "value": None}]
    if warn_at is not None and alarm_at is not None and alarm_at < warn_at:
        steps = [
            {"color": RED, "value": None},
            {"color": AMBER, "value": alarm_at},
            {"color": GREEN, "value": warn_at},
        ]
    else:
        if warn_at is not None and warn_at != alarm_at:
            steps.append({"color": AMBER, "value": warn_at})
        if alarm_at is not None:
            steps.append({"color": RED, "value": alarm_at})
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case Kind.NUMBER:
            return {
                "reduceOptions": newest,
                "textMode": "value",
                "colorMode": "value",
                "graphMode": "none" if panel.words else "area",
                "justifyMode": "auto",
                "orientation": "auto",
            }
        case Kind.BARS:
            return {"reduceOptions": newest, "displayMode": "gradient", "orientation": "horizontal"}
        case Kind.TABLE:
            return {"showHeader": True, "cellHeight": "sm"}
        case Kind.LINES:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }


def _columns() -> list[dict[str, Any]]:
    return [
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "count"}}}
    ]


def _service_choice() -> dict[str, Any]:
    """Return the choice of services; without one it is all of them."""
    query = f'label_values(up{{service=~"{OURS}"}}, service)'
    return {
        "name": "service",
        "label": "Service",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "services"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": OURS,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
    }

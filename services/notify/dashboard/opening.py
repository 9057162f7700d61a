"""Puts the dashboard together and adds it to NOTIFY's application."""

from fastapi import FastAPI

from services.notify.config import NotifySettings
from services.notify.dashboard.act_routes import ActRoutes
from services.notify.dashboard.assets import Assets
from services.notify.dashboard.feeds import Feeds
from services.notify.dashboard.gate import Gate
from services.notify.dashboard.hub import Hub
from services.notify.dashboard.page_routes import Dashboard, PageRoutes
from services.notify.dashboard.rendering import Rendering
from services.notify.dashboard.session_store import SessionStore
from services.notify.dashboard.sources import Sources
from services.notify.dashboard.views import View
from services.notify.desk import Desk
from services.notify.ports import ObservesDoors
from services.notify.service_client import ServiceClient
from services.notify.store import NotificationStore
from shared.clock import utc_now
from shared.database import Database
from shared.lifecycle import Runtime


def add_dashboard(
    runtime: Runtime,
    app: FastAPI,
    settings: NotifySettings,
    database: Database,
    services: ServiceClient,
    store: NotificationStore,
    desk: Desk,
    watch: ObservesDoors,
) -> None:
    """Add the routes and start the loop that keeps open pages live."""
    sessions = SessionStore(
        database, hours=settings.dashboard_session_hours, idle_minutes=settings.dashboard_idle_minutes
    )
    passwords = {
        "operator": settings.dashboard_operator_password,
        "viewer": settings.dashboard_viewer_password,
    }
    gate = Gate(sessions, desk, watch, passwords, settings.trusted_proxies)
    sources = Sources(database, services, store, settings.amqp_management_url, utc_now)
    assets = Assets()
    rendering = Rendering(sources, assets, utc_now)
    hub: Hub[View] = Hub(rendering.live, sessions, lambda: runtime.stopping, utc_now)
    runtime.spawn("dashboard_hub", hub.run)
    runtime.spawn("dashboard_stop", hub.watch_for_stop)
    pages = PageRoutes(Dashboard(settings, gate, sources, rendering, hub, assets))
    app.include_router(Feeds(gate, sources, utc_now).router())
    app.include_router(ActRoutes(gate, desk, sources, rendering, settings.language, utc_now).router())
    app.include_router(pages.router())

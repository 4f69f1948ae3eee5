"""The app: `streamlit run app.py`, or any ASGI server with `app:app`.

It keeps a worker running beside it, tells how it is at ``/api/health``, and gives each browser a name of its own. It
never imports Keras: with Keras loaded, Streamlit clears Keras's session after every run of a page.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import re
import secrets
from contextlib import asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from pages.shared.index_page import IndexPage
from tlcore.data import own
from tlcore.errors import UserError
from tlcore.jobs.launch import WorkerKeeper
from tlcore.jobs.queue import STALE_SECONDS
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWNER_COOKIE = "tl_owner"
OWNER_SECONDS = 365 * 24 * 3600
LOOK_SECONDS = 2.0
COLLECT_SECONDS = 60.0
SWEEP_SECONDS = 3600.0
KEEPS_WORKER = os.environ.get("TLCORE_NO_WORKER") != "1"

log = logging.getLogger("tlcore.app")
keeper = WorkerKeeper()


class OwnerCookie:
    """Gives a browser that has none a random name, so that its runs stay its own over reloads.

    Args:
        app: What is served behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; websockets, scripts and pictures pass untouched."""
        if scope["type"] != "http" or not _needs_owner(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        secure = "; Secure" if scope["scheme"] == "https" else ""
        cookie = (
            f"{OWNER_COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age={OWNER_SECONDS}; HttpOnly; SameSite=Lax{secure}"
        )

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _needs_owner(headers: Headers) -> bool:
    # Only the page itself: a page's parts are asked for at once, and each would get another name.
    if "text/html" not in headers.get("accept", ""):
        return False
    try:
        owner = SimpleCookie(headers.get("cookie", "")).get(OWNER_COOKIE)
    except CookieError:
        return True
    return owner is None or re.fullmatch(r"[0-9a-f]{32}", owner.value) is None


async def health(_: Request) -> JSONResponse:
    """Tell whether the app can do its work: 200 if it can, 503 if not."""
    try:
        state = await run_in_threadpool(_health)
    except UserError as error:
        state = {"status": "failing", "message": str(error)}
    return JSONResponse(state, status_code=503 if state["status"] == "failing" else 200)


def _health() -> dict[str, object]:
    store = Store()
    # A worker elsewhere is known by its heartbeat alone; the one here also by the lock that it holds.
    heard = (worker for worker in store.workers() if worker.heartbeat_age < STALE_SECONDS)
    worker = keeper.worker() if KEEPS_WORKER else next(heard, None)
    return {
        "status": "ok" if worker is not None and worker.slots else "starting",
        "worker": {
            "alive": worker is not None,
            "pid": worker.pid if worker else None,
            "heartbeat_age": round(worker.heartbeat_age, 1) if worker else None,
            "slots": worker.slots if worker else 0,
            "device": worker.device if worker else "",
        },
        "queue": {"queued": store.count("queued"), "running": store.count("running", "stopping")},
    }


@asynccontextmanager
async def lifespan(_: object) -> AsyncGenerator[None]:
    """Run what goes on beside the pages, from the server's start to its end."""
    Store()  # a database that cannot be used ends the start, with a line that says why
    # Plotly and pandas take a second to import: now, so that the first visitor does not wait for them.
    await asyncio.to_thread(importlib.import_module, "tlcore.views")
    tasks = [asyncio.create_task(_collect()), asyncio.create_task(_sweep_pictures())]
    if KEEPS_WORKER:
        tasks.append(asyncio.create_task(_keep_worker()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(keeper.stop)


async def _keep_worker() -> None:
    while True:
        try:
            await asyncio.to_thread(keeper.look)
        except Exception:
            log.exception("the worker could not be looked after")
        await asyncio.sleep(LOOK_SECONDS)


async def _sweep_pictures() -> None:
    """Delete learners' pictures whose day has come."""
    while True:
        try:
            await asyncio.to_thread(own.sweep)
        except Exception:
            log.exception("pictures whose day has come could not be deleted")
        await asyncio.sleep(SWEEP_SECONDS)


async def _collect() -> None:
    # Streamlit's own collection after every run is switched off (runner.postScriptGC): it costs ten times the run.
    gc.collect()
    gc.freeze()
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        gc.collect()


app = st.App(
    Path(__file__).parent / "pages" / "main.py",
    lifespan=lifespan,
    routes=[Route("/api/health", health)],
    middleware=[Middleware(OwnerCookie), Middleware(IndexPage)],
)

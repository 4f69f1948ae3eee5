"""What the app's HTML page carries before Streamlit's scripts have run: how pages look, and where the server is.

A style that comes with a page's elements is there only after the first of them were drawn. And below the root
Streamlit's scripts look for the server in two places, one after the other, before they open their connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from pages.shared.drawings import STYLE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Streamlit's own faded captions are below what WCAG asks of contrast.
CONTRAST = '[data-testid="stCaptionContainer"] { color: inherit !important; opacity: 0.86 !important }'
# Nobody else's page may send this one messages; no sign-in of a host's own.
SERVER = "window.__streamlit = {{ BACKEND_BASE_URL: {}, HOST_CONFIG: {} }}"
HOST = "{ allowedOrigins: [location.origin], useExternalAuthToken: false }"
ABOVE = "location.origin + location.pathname.replace(/[^/]*$/, '')"
"""The address of the app: its pages are all one below it, whatever a proxy puts before them."""
HEAD = f"<script>{SERVER.format(ABOVE, HOST)}</script><style>{CONTRAST}{STYLE}</style>".encode()
# What was added here is younger than the file, and nothing is packed that has to be opened again.
UNASKED = (b"if-none-match", b"if-modified-since", b"accept-encoding")


class IndexPage:
    """Adds `HEAD` to the HTML page that Streamlit answers for every page of the app.

    Args:
        app: What is served behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; what is not for a person's eyes passes untouched."""
        if (
            scope["type"] != "http"
            or scope["method"] != "GET"
            or "text/html" not in Headers(scope=scope).get("accept", "")
        ):
            await self._app(scope, receive, send)
            return
        start: Message = {}
        content = b""

        async def send_with_head(message: Message) -> None:
            nonlocal start, content
            if message["type"] == "http.response.start":
                start = message
            headers = MutableHeaders(scope=start)
            if not headers.get("content-type", "").startswith("text/html"):
                await send(message)
            elif message["type"] == "http.response.body":
                content += message.get("body", b"")
                if not message.get("more_body", False):
                    content = content.replace(b"</head>", HEAD + b"</head>", 1)
                    headers["content-length"] = str(len(content))
                    del headers["etag"], headers["last-modified"]
                    await send(start)
                    await send({"type": "http.response.body", "body": content})

        asked = [(name, value) for name, value in scope["headers"] if name not in UNASKED]
        await self._app({**scope, "headers": asked}, receive, send_with_head)

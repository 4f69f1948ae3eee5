"""A learner without a browser: enough of Streamlit's websocket protocol to open a page, poll it and count errors.

Only this machine is ever connected to.
"""

from __future__ import annotations

import asyncio
import secrets
import time

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

EARLY = 2  # ScriptFinishedStatus: this run gave way to another, whose end is still to come


class Learner:
    """One browser session.

    Args:
        port: Port of the app on this machine.
        page: The page's path, such as ``compare``.
        query: The address's parameters, encoded.
    """

    def __init__(self, port: int, page: str, query: str = "") -> None:
        self._address = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._page, self._query = page, query
        self._script = ""
        self._connection: ClientConnection | None = None
        self.fragments: dict[str, float] = {}
        self.errors: list[str] = []
        self.received = 0

    async def open(self) -> float:
        """Connect and run the page once; returns the seconds that the run took."""
        self._connection = await connect(
            self._address,
            subprotocols=["streamlit"],  # pyright: ignore[reportArgumentType]
            additional_headers={"Cookie": f"tl_owner={secrets.token_hex(16)}"},
            max_size=None,
            compression=None,
            open_timeout=60,
            ping_timeout=None,
        )
        return await self.run()

    async def run(self, fragment: str = "") -> float:
        """Run the page, or one fragment of it as the browser's timer does; returns seconds until it has finished."""
        assert self._connection is not None
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_script_hash = self._script
        if not self._script:
            message.rerun_script.page_name = self._page
        if fragment:
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
        else:
            self.fragments.clear()  # a full run makes its fragments anew
        start = time.perf_counter()
        await self._connection.send(message.SerializeToString())
        while True:
            data = await asyncio.wait_for(self._connection.recv(), timeout=60)
            assert isinstance(data, bytes)
            self.received += len(data)
            answer = ForwardMsg()
            answer.ParseFromString(data)
            self._note(answer)
            if answer.WhichOneof("type") == "script_finished" and answer.script_finished != EARLY:
                return time.perf_counter() - start

    def _note(self, answer: ForwardMsg) -> None:
        kind = answer.WhichOneof("type")
        if kind == "navigation":
            self._script = answer.navigation.page_script_hash
        elif kind == "auto_rerun":
            self.fragments[answer.auto_rerun.fragment_id] = answer.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            for fragment in answer.stop_auto_rerun.fragment_ids:
                self.fragments.pop(fragment, None)
        elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
            element = answer.delta.new_element
            if element.WhichOneof("type") == "exception":
                self.errors.append(f"{element.exception.type}: {element.exception.message[:200]}")

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

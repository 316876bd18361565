"""A link that can go dead without a word, as one behind a firewall or a pulled cable does."""

import asyncio
import threading


class Proxy:
    """Passes connections on to a port of this machine, until they are abandoned."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._passing: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(asyncio.start_server(self._accept, "127.0.0.1", port), self._loop).result()

    def abandon(self) -> None:
        """From now on nothing passes on the connections there are, either way; and nobody is told."""
        self._loop.call_soon_threadsafe(self._abandon)

    def end(self) -> None:
        """Closes every connection."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _abandon(self) -> None:
        for task in self._passing:
            task.cancel()

    async def _end(self) -> None:
        self._over.set()
        self._abandon()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        except asyncio.CancelledError:
            await self._over.wait()  # abandoned: open, and silent
        sink.close()

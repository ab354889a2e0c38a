# SPDX-License-Identifier: ISC
"""Serves the driver: JSON lines on stdin ask, JSON lines on stdout answer; ends with stdin."""

import asyncio
import json
import os
import sys
import traceback


async def _answer(user, line):
    message = json.loads(line)
    try:
        result = await getattr(user, message["do"])(**(message["with"] or {}))
        reply = {"id": message["id"], "result": result}
    except Exception as error:
        traceback.print_exc()
        reply = {"id": message["id"], "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)


async def _serve(user):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = set()
    while line := await reader.readline():
        task = asyncio.ensure_future(_answer(user, line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def serve(user):
    """Runs until stdin ends. What a driver may ask are the coroutines of 'user'."""
    asyncio.get_event_loop().run_until_complete(_serve(user))
    sys.stdout.flush()
    os._exit(0)  # without waiting for the threads of media libraries

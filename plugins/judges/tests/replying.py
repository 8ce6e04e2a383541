"""A small endpoint on this machine: chat completions over HTTP, answered by a function of the question."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import halo

Answer = str | tuple[int, Any]
"""The text of a reply, or a status with a body: a text as it is, anything else as JSON."""


class Server:
    """asked: the bodies of all questions, in the order in which they came; keys: their Authorization headers."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer]) -> None:
        self.answer, self.asked, self.keys = answer, list[dict[str, Any]](), list[str]()
        self.finish, self.headers = "stop", dict[str, str]()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def compared(self) -> list[tuple[str, str]]:
        """The two answers of each question, as they stood in it."""
        return [answers_of(body) for body in self.asked]

    def reply(self, body: dict[str, Any], key: str) -> tuple[int, bytes]:
        self.asked.append(body)
        self.keys.append(key)
        told = self.answer(body)
        if isinstance(told, tuple):
            status, content = told
            return status, (content if isinstance(content, str) else json.dumps(content)).encode()
        choice = {"index": 0, "message": {"role": "assistant", "content": told}, "finish_reason": self.finish}
        used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        found = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice], "usage": used}
        return 200, json.dumps(found).encode()


class _Handler(BaseHTTPRequestHandler):
    server_: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, content = self.server_.reply(body, self.headers.get("Authorization", ""))
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **self.server_.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def answers_of(body: dict[str, Any]) -> tuple[str, str]:
    text = body["messages"][-1]["content"]
    first, second = (re.search(rf"<answer {name}>\n(.*?)\n</answer {name}>", text, re.S) for name in "AB")
    assert first
    assert second
    return first[1], second[1]


def longer(body: dict[str, Any]) -> str:
    """The longer answer is better, wherever it stands."""
    first, second = map(len, answers_of(body))
    if first == second:
        return "They are alike.\nVerdict: tie"
    return f"Length is all that counts.\n**Verdict: {'A' if first > second else 'B'}**"


def folder_of(path: Path, rows: list[dict[str, Any]], columns: str = "a+b+c") -> Path:
    """A finished folder of samples, whose completions stand in columns of the rows."""
    prompts = path.with_suffix(".jsonl")
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return halo.sample(prompts=str(prompts), sampler=f"given:columns={columns}", out=str(path), say=lambda line: None)


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """The last row of each completion, in their order."""
    found = {}
    for line in (folder / "scores" / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        found[row["prompt_id"], row["sample"]] = row
    return list(found.values())

"""What vLLM's server does, for one model: /v1/models and /v1/completions with ids in and out, written by the embedded policy.

Field by field as vLLM 0.32 replied to the same requests; README.md says what was run against vLLM itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from halo.testing import policy, template


class Double:
    """mode: as --logprobs-mode; asked: bodies; broken: a status that is answered instead; extra: put over each choice."""

    def __init__(self) -> None:
        self.model, self.tokenizer = policy().eval(), template().tokenizer
        self.names, self.mode, self.broken, self.extra = ["smol"], "processed_logprobs", 0, dict[str, Any]()
        self.asked, self.keys, self.lock = list[dict[str, Any]](), list[str](), threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def samples(self) -> list[dict[str, Any]]:
        """The requests for completions: the others ask for a first token's distribution."""
        return [body for body in self.asked if body["max_tokens"] > 1]

    @torch.no_grad()
    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        noise = torch.Generator().manual_seed(body.get("seed") or 0)
        ids, logps, tops, reason, stopped = list[int](), list[float](), list[dict[str, float]](), "length", None
        for _ in range(body["max_tokens"]):
            logits = self.model(torch.tensor([body["prompt"] + ids])).logits[0, -1]
            warm = logits / body["temperature"]
            told = {"processed_logprobs": warm.log_softmax(-1), "raw_logprobs": logits.log_softmax(-1), "processed_logits": warm}[self.mode]
            token = int(torch.multinomial(warm.softmax(-1), 1, generator=noise))
            ids.append(token)
            logps.append(float(told[token]))
            best = told.topk(max(1, body["logprobs"])).indices.tolist()
            tops.append({f"token_id:{one}": float(told[one]) for one in {token, *best}})
            text = self.tokenizer.decode(ids)
            stopped = next((stop for stop in body.get("stop", []) if stop in text), None)
            if token in body.get("stop_token_ids", []) or stopped is not None:
                reason = "stop"
                break
        choice = {
            "index": 0, "text": self.tokenizer.decode(ids), "finish_reason": reason, "stop_reason": stopped, "token_ids": ids,
            "prompt_token_ids": body["prompt"],
            "logprobs": {"token_logprobs": logps, "top_logprobs": tops, "tokens": [], "text_offset": []},
        }  # fmt: skip
        return {"id": "1", "object": "text_completion", "created": 0, "model": body["model"], "choices": [choice | self.extra]}


class _Handler(BaseHTTPRequestHandler):
    double: Double

    def do_GET(self) -> None:
        cards = [{"id": name, "object": "model", "created": 0, "owned_by": "vllm", "root": "FOLDER"} for name in self.double.names]
        self._send(200, {"object": "list", "data": cards})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.double.lock:
            self.double.asked.append(body)
            self.double.keys.append(self.headers.get("Authorization", ""))
        if self.double.broken:
            self._send(self.double.broken, {"error": {"message": f"broken, {self.headers.get('Authorization')}"}})
        else:
            self._send(200, self.double.complete(body))

    def _send(self, status: int, told: Any) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Double]:
    double = Double()
    thread = threading.Thread(target=double.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.http.shutdown()
        double.http.server_close()

"""Single requests that take long to read or to answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

from tests.reliability.attack import Attack, answers
from tests.security.raw import post


def bodies() -> Iterator[Attack]:
    def large(name: str, path: str, body: bytes, *headers: bytes, times: int = 1) -> Attack:
        wire = post(body, *headers, path=path.encode())
        return Attack(name, lambda server: answers(server, [wire] * times, at_once=times))

    yield large("five million empty calls", "/sessions/steps", b'{"steps": [' + b"{}," * 4_999_999 + b"{}]}")
    yield large(
        "eight million inputs", "/sessions/hourly/steps", b'{"inputs": [' + b"1," * 7_999_999 + b"1]}"
    )
    prompt = b'{"model": "text", "prompt": [' + b"1," * 7_000_000 + b"1]}"
    yield large("seven million tokens", "/v1/completions", prompt)
    fields = b",".join(b'"%x": 1' % number for number in range(1_400_000))
    yield large("1.4 million unknown fields", "/generate", b'{"prompt": "a", ' + fields + b"}")
    yield large("five million empty series", "/forecast", b'{"series": [' + b"{}," * 4_999_999 + b"{}]}")
    yield large("deep nesting", "/forecast", b"[" * 16_000_000)
    csv = b"content-type: text/csv"
    yield large("a CSV of eight million rows", "/forecast?horizon=1", b"v\n" + b"1\n" * 8_000_000, csv)
    yield large("a CSV of 15 million columns", "/forecast?horizon=1", b"," * 15_000_000 + b"\n1\n", csv)
    bomb = gzip.compress(bytes(16 * 2**20), mtime=0)
    yield large("200 gzip bombs at once", "/forecast", bomb, b"content-encoding: gzip", times=200)
    wide = ('{"values": [' + "1.5," * 1_900_000 + "1]}").encode("utf-16")
    yield large("1.9 million values in UTF-16", "/forecast", wide)
    fields = b",".join(b'"%x": 1' % number for number in range(220_000))
    yield large(
        "220,000 unknown fields, eight times", "/generate", b'{"prompt": "a", ' + fields + b"}", times=8
    )
    inputs = b'{"inputs": [' + b"[]," * 400_000 + b"[]]}"
    yield large("400,000 empty inputs, eight times", "/sessions/hourly/steps", inputs, times=8)
    some = [{"values": [1.5, 2.5, number % 7, 4.25]} for number in range(10_000)]
    wanted = json.dumps({"series": some, "horizon": 3}).encode()
    yield large("four times 10,000 series", "/forecast", wanted, times=4)
    wanted = json.dumps({"series": some[:500], "horizon": 1, "samples": 1000}).encode()
    yield large("1,000 sample paths of each of 500 series", "/forecast", wanted)
    text = {"model": "text", "prompt": "A", "n": 16, "max_tokens": 10_000, "logprobs": 5}
    texts = json.dumps(text).encode()
    name = "four times 16 texts of 10,000 tokens with log-probabilities"
    yield large(name, "/v1/completions", texts, times=4)
    yield large("the same of /generate", "/generate", texts, times=4)

"""A simulated model: answers of plausible length, after a plausible time, at a price."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from semcache.demo.prompts import SYSTEM_PROMPTS, DemoPrompt
from semcache.engine import Price
from semcache.entry import Usage

# USD per million tokens; in the range of what mid-sized hosted models cost in 2025.
PRICE = Price(input=2.0, output=8.0)
# Time to a full answer of some 200 tokens: log-normal, median 1.2 s, one in twenty above 2.7 s.
MEDIAN_S = 1.2
SPREAD = 0.5
MEDIAN_OUTPUT_TOKENS, OUTPUT_SPREAD = 180, 0.6
LETTERS_PER_TOKEN = 4
FORMATTING_TOKENS = 8
DEFAULT_SPEED = 100.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model would do with one prompt: always the same for the same prompt."""

    seconds: float
    usage: Usage

    @property
    def cost(self) -> float:
        """USD."""
        return PRICE.of(self.usage)


def reply_to(prompt: DemoPrompt) -> Reply:
    """How long the model takes for this prompt (in virtual time), and how many tokens."""
    drawn = random.Random(hashlib.sha256(prompt.text.encode()).digest())
    letters = len(SYSTEM_PROMPTS[prompt.app]) + len(prompt.text)
    return Reply(
        seconds=MEDIAN_S * drawn.lognormvariate(0.0, SPREAD),
        usage=Usage(
            input_tokens=FORMATTING_TOKENS + letters // LETTERS_PER_TOKEN,
            output_tokens=round(MEDIAN_OUTPUT_TOKENS * drawn.lognormvariate(0.0, OUTPUT_SPREAD)),
        ),
    )


@dataclass(slots=True)
class SimulatedModel:
    """Answers prompts in *virtual* time: really it sleeps only ``1 / speed`` of what it takes.

    It does sleep, so that concurrent requests meet as they would, and the table can be watched.
    """

    speed: float = DEFAULT_SPEED
    calls: int = 0
    cost: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, prompt: DemoPrompt) -> dict[str, Any]:
        reply = reply_to(prompt)
        with self._lock:
            self.calls += 1
            self.cost += reply.cost
        time.sleep(reply.seconds / self.speed)
        return {
            "for": prompt.id,
            "text": f"(the model's answer to: {prompt.text})",
            "seconds": reply.seconds,
            "input_tokens": reply.usage.input_tokens,
            "output_tokens": reply.usage.output_tokens,
        }


def usage_of(answer: dict[str, Any]) -> Usage:
    """What the cache is told about the tokens of an answer."""
    return Usage(answer["input_tokens"], answer["output_tokens"])

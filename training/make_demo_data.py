"""Make the prompts that ``semcache demo`` replays (``semcache/demo/data/prompts.jsonl``).

    python training/make_demo_data.py ../shared/data

Two thirds are prompts of real people: excerpts of banking77 (CC BY 4.0) and clinc150 (CC BY 3.0),
``*.tune`` parts only, of intents that ask a question with one answer for everybody (what concerns
one customer's own account is nothing to cache). Taken are prompts that a reader once compared with
a near neighbour (``strict_pairs.tune``), whether the two were found to ask the same or not, so the
excerpt is denser in paraphrases *and* in look-alikes than traffic is: it shows what a cache does,
it does not measure how often. What the reader found different is kept with the prompts
(``differs``), so that a hit within one intent can be wrong, too.

Then come exact repeats of some prompts, a few crowds (the same question asked by several people at
once), and the traps of ``demo_traps.jsonl``, each some requests behind its look-alike; and the
prompts of ``demo_policy.jsonl``, in which the same words ask for another answer the next time. The
same input makes the same file.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "semcache" / "demo" / "data" / "prompts.jsonl"

INTENTS = {
    "banking77": [
        "activate_my_card", "age_limit", "apple_pay_or_google_pay", "automatic_top_up",
        "card_delivery_estimate", "country_support", "disposable_card_limits",
        "edit_personal_details", "exchange_charge", "exchange_via_app", "fiat_currency_support",
        "get_disposable_virtual_card", "getting_spare_card", "getting_virtual_card",
        "passcode_forgotten", "supported_cards_and_currencies", "top_up_limits",
        "transfer_timing", "verify_my_identity", "visa_or_mastercard", "why_verify_identity",
    ],
    "clinc150": [
        "are_you_a_bot", "carry_on", "definition", "direct_deposit", "do_you_have_pets",
        "how_old_are_you", "improve_credit_score", "ingredients_list", "jump_start",
        "meaning_of_life", "new_card", "nutrition_info", "oil_change_how", "redeem_rewards",
        "replacement_card_duration", "rollover_401k", "w2", "what_can_i_ask_you",
        "what_are_your_hobbies", "who_made_you",
    ],
}  # fmt: skip
APPS = {"banking77": "bank", "clinc150": "assistant"}
TEXTS_PER_INTENT = 6
LONGEST = 90
REPEATS = 60
CROWDS, CROWD_SIZE = 6, 5
TRAP_AFTER = range(3, 12)
SEED = 77
# The prompts for the policy have a draw of their own: adding one moves nothing else.
POLICY_SEED = 78
POLICY_APP = "assistant"


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def excerpt(folder: Path, name: str) -> list[dict[str, Any]]:
    """Some prompts of each chosen intent, with what is known to ask something else."""
    intents = {row["text"]: row["intent"] for row in rows_of(folder, f"{name}_stream.tune")}
    pairs = [
        pair
        for pair in rows_of(folder, "strict_pairs.tune")
        if pair["source"] == f"{name}_stream"
        and max(len(pair["a"]), len(pair["b"])) <= LONGEST
        # Some paraphrases lie in two intents; by intents such a hit would be counted as wrong.
        and not (pair["label"] == 1 and intents[pair["a"]] != intents[pair["b"]])
    ]
    chosen: dict[str, dict[str, None]] = defaultdict(dict)  # dicts for their order
    for pair in pairs:
        for text in (pair["a"], pair["b"]):
            intent = intents[text]
            if intent in INTENTS[name] and len(chosen[intent]) < TEXTS_PER_INTENT:
                chosen[intent][text] = None
    texts = {text: f"{name}-{intent}-{n}" for intent, listed in chosen.items()
             for n, text in enumerate(listed)}  # fmt: skip
    differs: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        if pair["label"] == 0 and pair["a"] in texts and pair["b"] in texts:
            differs[pair["a"]].add(texts[pair["b"]])
            differs[pair["b"]].add(texts[pair["a"]])
    return [
        {
            "id": identity, "app": APPS[name], "text": text, "intent": intents[text],
            "differs": sorted(differs[text]), "kind": "prompt",
        }
        for text, identity in texts.items()
    ]  # fmt: skip


def traps() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    lines = (HERE / "demo_traps.jsonl").read_text("utf-8").splitlines()
    made = []
    for n, line in enumerate(lines):
        pair = json.loads(line)
        first, trap = f"trap-{n}-first", f"trap-{n}"
        made.append(
            (
                {"id": first, "app": "helpdesk", "text": pair["first"], "intent": first,
                 "differs": [trap], "kind": "prompt"},
                {"id": trap, "app": "helpdesk", "text": pair["trap"], "intent": trap,
                 "differs": [first], "kind": "trap", "look_alike": first,
                 "difference": pair["difference"]},
            )
        )  # fmt: skip
    return made


def stream(prompts: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """All of it as traffic: shuffled, with repeats, crowds and traps in their places."""
    rng.shuffle(prompts)
    # Popular prompts are repeated more: each repeat copies one of the earlier requests, itself
    # perhaps a repeat (a "rich get richer" draw gives the long tail of real traffic).
    rows = list(prompts)
    for _ in range(REPEATS):
        row = rows[rng.randrange(len(rows) // 2)]
        rows.insert(rng.randrange(rows.index(row) + 1, len(rows) + 1), {**row, "kind": "repeat"})
    firsts = [at for at, row in enumerate(rows) if row["kind"] == "prompt"
              and rows[at]["id"] not in {earlier["id"] for earlier in rows[:at]}]  # fmt: skip
    for n, at in enumerate(sorted(rng.sample(firsts, CROWDS), reverse=True)):
        crowd = f"crowd-{n}"
        asked = {**rows[at], "crowd": crowd}
        rows[at : at + 1] = [asked, *({**asked, "kind": "repeat"} for _ in range(CROWD_SIZE - 1))]
    for first, trap in traps():
        at = _outside_crowds(rows, rng.randrange(len(rows) - 12))
        rows.insert(at, first)
        rows.insert(_outside_crowds(rows, at + rng.choice(TRAP_AFTER)), trap)
    return rows


def policy(rows: list[dict[str, Any]], rng: random.Random) -> None:
    """Put the prompts for the policy in: each asked again a while later, some by several users."""
    lines = (HERE / "demo_policy.jsonl").read_text("utf-8").splitlines()
    for n, line in enumerate(lines):
        asked = json.loads(line)
        users = asked.get("users", [None, None])
        # What a user asks again has the same answer (for that user); else each has one of its own.
        kept = asked["rule"] in ("personal", "days")
        at = rng.randrange(len(rows) // 2)
        for turn, user in enumerate(users):
            at = _outside_crowds(rows, at)
            own = user or ("all" if kept else turn)
            row = {"id": f"policy-{n}-{own}", "app": POLICY_APP, "text": asked["text"],
                   "intent": f"policy-{n}-{own}", "differs": [], "kind": "policy",
                   "rule": asked["rule"]}  # fmt: skip
            rows.insert(at, {**row, "user": user} if user else row)
            at = min(len(rows) - 1, at + rng.choice(TRAP_AFTER) * 3)


def _outside_crowds(rows: list[dict[str, Any]], at: int) -> int:
    """A place from ``at`` on that tears no crowd apart."""
    while 0 < at < len(rows) and "crowd" in rows[at] and "crowd" in rows[at - 1]:
        at += 1
    return at


def main(folder: Path) -> None:
    prompts = excerpt(folder, "banking77") + excerpt(folder, "clinc150")
    rows = stream(prompts, random.Random(SEED))
    policy(rows, random.Random(POLICY_SEED))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with TARGET.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{len(rows)} requests to {TARGET}: {dict(Counter(row['kind'] for row in rows))}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data"))

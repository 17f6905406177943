"""The simulation that the bound holds, on made-up scores whose truth is known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.bound import show
from benchmarks.bound.control import NEVER, best_fixed, chosen_threshold, wrong_share
from benchmarks.bound.exchangeable import Pool, exchangeable, members
from benchmarks.bound.known import COSINE, SCORERS, Cache
from benchmarks.bound.online import calibration_at, watch
from benchmarks.bound.streams import ASKED, Stream, orders_of, replay, replay_vcache, replayed
from benchmarks.bound.threats import NOISE_KINDS, adversary, drift, label_noise, mislabelled
from benchmarks.bound.vcache import PerEntry
from semcache.decision.vetoes import ALL, Veto
from semcache.evaluate import Pair
from semcache.tuning.fit import Goal, fit
from semcache.tuning.measure import Scored

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
BOUNDS = (0.01, 0.05, 0.2)


def made_up(
    n: int, seed: int, *, wrong_at_top: float = 0.002, vetoed: float = 0.0
) -> tuple[Floats, Flags]:
    """Scores in [0, 1]; the chance of being wrong falls with them, down to ``wrong_at_top``."""
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    same = rng.random(n) >= wrong_at_top + 0.6 * np.maximum(0.0, 0.7 - scores)
    return np.where(rng.random(n) < vetoed, -math.inf, scores), same


def pool(n: int = 1200, seed: int = 1) -> Pool:
    """All scorers see the same made-up scores, but for a cosine that sees less."""
    scores, same = made_up(n, seed, vetoed=0.1)
    rng = np.random.default_rng(seed)
    cosine = np.where(scores > 0, scores, rng.random(n)) * 0.5 + 0.5 * rng.random(n)
    by_scorer = {COSINE: cosine, **dict.fromkeys(SCORERS, scores)}
    return Pool(same, by_scorer, np.arange(n) // 2, ["one", "two"] * (n // 2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bound", BOUNDS)
def test_the_threshold_is_that_of_semcache_tune(seed: int, bound: float) -> None:
    scores, same = made_up(50 + 150 * seed, seed, vetoed=0.3 * (seed % 2))
    scored = [
        Scored(
            pair=Pair("a", "b", bool(label)),
            cosine=0.0,
            lexical=0.0,
            values={"made": 0.5 if score == -math.inf else float(score)},
            fired=(Veto("content", ""),) if score == -math.inf else (),
            choosing=False,
            evidence=True,
            half=False,
        )
        for score, label in zip(scores, same, strict=True)
    ]
    goal = Goal(bound, choosing_share=0.0, vetoes=ALL)
    expected = fit(scored, goal, scorer="made", encoder=None).threshold(bound)
    assert chosen_threshold(scores, same, bound) == (NEVER if expected is None else expected)


def test_the_promise_holds_over_200_runs_and_a_naive_threshold_breaks_it() -> None:
    scores, same = made_up(100_000, 3, wrong_at_top=0.0005)
    rng = np.random.default_rng(3)
    controlled, later, naive, served = 0, 0, 0, 0
    for _ in range(200):
        chosen = rng.integers(len(scores), size=1500)
        at = chosen_threshold(scores[chosen], same[chosen], 0.05)
        served += at < NEVER
        controlled += wrong_share(scores, same, at) > 0.05
        at = chosen_threshold(scores[chosen], same[chosen], 0.05, spare=3)
        later += wrong_share(scores, same, at) > 0.05
        at = best_fixed(scores[chosen], same[chosen], 0.05)
        naive += wrong_share(scores, same, at) > 0.05
    assert served >= 190
    assert max(controlled, later) <= 17  # 10 expected at most; P(more than 17) is 1 %
    assert naive > 50


def test_no_labels_no_threshold() -> None:
    assert chosen_threshold(np.array([-math.inf]), np.array([True]), 0.05) == NEVER
    assert chosen_threshold(np.linspace(0, 1, 298), np.ones(298, dtype=bool), 0.01) == NEVER
    assert best_fixed(np.array([0.9]), np.array([False]), 0.05) == NEVER
    assert wrong_share(np.array([0.9]), np.array([False]), NEVER) == 0.0


def test_exchangeable_reports_every_scorer_and_reading() -> None:
    held = exchangeable(pool(), (0.05,), runs=40, seed=2)
    assert [one.scorer for one in held] == [COSINE, *SCORERS]
    learned = held[-1]
    assert learned.exceeds["drawn"].low <= 0.05
    assert learned.supported.value > 0.5
    assert 0 < learned.served <= learned.fixed + 0.1


def test_members_are_the_components() -> None:
    assert [sorted(one.tolist()) for one in members(np.array([7, 1, 7, 3]))] == [[1], [3], [0, 2]]


# -- streams --------------------------------------------------------------------------------------


def stream(n: int = 60, twins: float = 0.95, others: float = 0.7) -> Stream:
    """Prompts in groups of three: two twins, and two of the next group as look-alikes."""
    group = np.arange(n) // 3
    near, scores = [], []
    for i in range(n):
        first = 3 * (i // 3)
        mine = [j for j in range(first, first + 3) if j != i]
        other = [(first + 3) % n, (first + 4) % n]
        near.append(mine + other)
        scores.append([twins, twins, others, others])
    table = np.array(scores)
    by_scorer = {COSINE: table, **dict.fromkeys(SCORERS, table)}
    return Stream("toy", group, np.array(near), by_scorer)


def test_a_replay_serves_what_was_stored_before() -> None:
    toy = stream()
    orders = orders_of(toy, 5, 1)
    counted = replay(toy, toy.scores[COSINE], orders, np.full(5, 0.9))
    assert (counted.served == 40).all()  # all but the first of each group
    assert (counted.wrong == 0).all()
    assert (counted.repeats == 40).all()
    loose = replay(toy, toy.scores[COSINE], orders, np.full(5, 0.5))
    assert (loose.wrong > 0).all()
    assert (replay(toy, toy.scores[COSINE], orders, np.full(5, NEVER)).served == 0).all()


def test_a_served_prompt_is_not_stored_and_only_the_nearest_are_asked() -> None:
    # 0 is stored and serves 1; 2 is near 1 alone, which leads to no entry.
    near = np.array([[1, -1], [0, 2], [1, -1]])
    scores = np.array([[0.9, -math.inf], [0.9, 0.9], [0.9, -math.inf]])
    chain = Stream("chain", np.zeros(3, dtype=np.int64), near, {COSINE: scores})
    order = np.array([[0, 1, 2]])
    assert replay(chain, scores, order, np.array([0.8])).served.tolist() == [1]
    # More candidates are stored than are asked: the one that scores is too far down.
    many = ASKED + 1
    near = np.array([[-1] * many] * many + [list(range(many))])
    scores = np.full(near.shape, -math.inf)
    scores[-1, -1] = 0.9
    crowd = Stream("crowd", np.arange(many + 1), near, {COSINE: scores})
    order = np.arange(many + 1)[None, :]
    assert replay(crowd, scores, order, np.array([0.8])).served.tolist() == [0]


def test_every_way_to_decide_is_replayed() -> None:
    toy = stream(150)
    given = {"pairs": {("learned", 0.2): 0.9}}
    found = replayed(toy, given, (0.2,), runs=4, seed=1)
    ways = {(one.way, one.labels) for one in found}
    assert {(COSINE, "oracle"), ("learned", "pairs"), ("learned", "first half")} <= ways
    by_pairs = next(one for one in found if one.labels == "pairs")
    assert by_pairs.served_repeats == 1.0
    assert by_pairs.wrong_of_served == 0.0


def test_the_rule_of_vcache_learns_an_entry() -> None:
    rule = PerEntry(rows=1, entries=2, delta=0.05)
    row, entry = np.array([0]), np.array([0])
    near, far = np.array([0.95]), np.array([0.7])
    unknown = rule.explore_probability(row, entry, near)[0]
    assert 0.9 < unknown <= 0.95  # with nothing known, only the error budget is spent
    for _ in range(400):
        rule.observe(row, entry, near, np.array([True]))
        rule.observe(row, entry, far, np.array([False]))
    assert rule.explore_probability(row, entry, near)[0] < 0.2
    assert rule.explore_probability(row, entry, far)[0] > 0.9
    assert rule.explore_probability(row, np.array([1]), near)[0] == unknown


def test_the_rule_of_vcache_serves_more_and_more_and_keeps_its_bound() -> None:
    # One popular question in 400 spellings, and one look-alike in five requests.
    n = 500
    look_alike = np.arange(n) % 5 == 4
    group = np.where(look_alike, np.arange(n), 0)
    near = np.array([[0] if i else [-1] for i in range(n)])
    scores = np.where(look_alike, 0.75, 0.95)[:, None]
    popular = Stream("popular", group, near, {COSINE: scores})
    order = np.arange(n)[None, :].repeat(3, axis=0)
    counted = replay_vcache(popular, order, 0.05, seed=1)
    assert (counted.served > 100).all()
    assert (counted.wrong <= 0.05 * n).all()


# -- threats --------------------------------------------------------------------------------------


def test_wrong_labels() -> None:
    scores, same = made_up(1000, 5)
    rng = np.random.default_rng(1)
    for kind in NOISE_KINDS:
        labels = mislabelled(scores, same, 0.05, kind, rng)
        assert (labels != same).sum() == 50
        assert kind == NOISE_KINDS[0] or (labels >= same).all()
    some = label_noise(pool(), (0.05,), runs=10, seed=1)
    assert len(some) == 2 * len(NOISE_KINDS) * 4


def test_drift_breaks_the_bound_and_watching_tightens() -> None:
    good, right = made_up(4000, 6, wrong_at_top=0.0)
    at = chosen_threshold(good, right, 0.05)
    calibration = calibration_at(good, right, at, 0.05)
    bad, wrong = made_up(4000, 7, wrong_at_top=0.3)
    assert wrong_share(bad, wrong, at) > 0.25
    rng = np.random.default_rng(8)
    broken = watch(calibration, 0.05, bad, wrong, 20_000, rng)
    assert broken.first_step is not None
    assert broken.first_step < 2000
    assert broken.steps >= 5
    unwatched = 20_000 * (bad >= at).mean()
    assert broken.served < unwatched / 3
    assert broken.late_served < unwatched / 4 / 5
    kept = watch(calibration, 0.05, good, right, 20_000, rng)
    assert not kept.off
    assert kept.first_step is None
    assert kept.wrong < 0.05 * kept.served


def test_an_adversary_and_another_domain() -> None:
    some = pool()
    planted = {name: np.full(20, 0.99) for name in some.scores}
    found = adversary(some, {"collision": planted}, (0.05,), seed=1, requests=2000)
    assert all(one.planted_served == 1.0 for one in found if one.supported.hits)
    crossed = drift(some, (0.05,), runs=5, seed=1, requests=1000)
    assert {one.threat for one in crossed} == {"one → two", "two → one"}


# -- around it ------------------------------------------------------------------------------------


def test_the_cache_remembers(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "known.npz")
    cache.part("vectors x")["ab"] = np.arange(3, dtype=np.float32)
    cache.part("logits y/1")["cd"] = np.float32(2.5)
    cache.save()
    again = Cache(tmp_path / "known.npz")
    assert again.part("vectors x")["ab"].tolist() == [0, 1, 2]
    assert again.part("logits y/1")["cd"] == 2.5


def test_everything_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = pool()
    planted = {name: np.full(20, 0.99) for name in some.scores}
    results = show.Results(
        {
            **dict.fromkeys(("pairs", "positives", "components", "runs", "verified"), 1),
            **dict.fromkeys(("part", "learned", "lexical", "verifier", "encoder"), "x"),
            "seconds": {"scores": 1.0, "all": 2.0},
        },
        [],
        exchangeable(some, (0.05,), runs=10, seed=1),
        replayed(stream(), {}, (0.2,), runs=3, seed=1),
        drift(some, (0.05,), runs=5, seed=1, requests=1000),
        label_noise(some, (0.05,), runs=5, seed=1),
        adversary(some, {"collision": planted}, (0.05,), seed=1, requests=1000),
    )
    show.tables(results)
    assert "Exchangeable pairs" in capsys.readouterr().out
    json.dumps(results.to_json())
    document = tmp_path / "bound.md"
    document.write_text(f"# A\n\n{show.BEGIN}\nstale\n{show.END}\n\nafter\n", "utf-8")
    show.into_document(results, document)
    written = document.read_text("utf-8")
    assert "stale" not in written
    assert written.startswith("# A\n")
    assert written.endswith("\n\nafter\n")
    assert "| bound | scorer |" in written
    pytest.importorskip("matplotlib")
    show.picture(results, tmp_path / "bound.png")
    assert (tmp_path / "bound.png").stat().st_size > 10_000

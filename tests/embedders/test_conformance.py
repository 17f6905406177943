"""The conformance suite over every embedder."""

from __future__ import annotations

import pytest

from semcache.embedders.base import Embedder
from tests.embedders.conformance import EMBEDDERS, Case, EmbedderConformance


@pytest.fixture(scope="class", params=EMBEDDERS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    made: Case = request.param
    return made


@pytest.fixture(scope="class")
def embedder(case: Case) -> Embedder:
    return case.make()


class TestConformance(EmbedderConformance):
    pass

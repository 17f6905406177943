"""``python -m benchmarks``: the table of budgets."""

from benchmarks.run import app

app()

"""Average checkpoints of one run (arXiv 2203.05482), and measure each and the average.

python training/average_weights.py ../shared/data out.safetensors runs/a/at-*.safetensors
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from train_verifier import encoded, installed_base, overall, read_all
from verifier_data import bare_tokenizer
from verifier_metrics import summary
from verifier_model import Verifier, load, save, score


def main(
    data: Annotated[Path, typer.Argument(help="Folder with the *.tune.jsonl.gz files.")],
    out: Annotated[Path, typer.Argument(help="Weights to write (.safetensors).")],
    checkpoints: Annotated[list[Path], typer.Argument(help="Weights to average.")],
    longest: Annotated[int, typer.Option(help="Longer pairs (tokens) are left out.")] = 64,
) -> None:
    """Write the average of the checkpoints, and print what each reaches on what is held aside."""
    _, held = read_all(data, None)
    tokenizer = bare_tokenizer(installed_base())
    rows = {name: encoded(tokenizer, pairs, longest) for name, pairs in held.items()}

    def measure(name: str, model: Verifier) -> None:
        figures = {}
        for source, pairs in rows.items():
            scores = score(model, [ids for ids, _ in pairs])
            labels = np.array([pair.label for _, pair in pairs])
            natural = np.array([pair.natural for _, pair in pairs])
            if natural.any():
                figures["natural"] = summary(labels[natural], scores[natural])
            figures[source] = summary(labels[~natural], scores[~natural])
        brief = {k: (v["ap"], v["r97"], v["r95"], v["r90"], v["tpr01"]) for k, v in figures.items()}
        print(name, round(overall(figures), 4), json.dumps(brief), flush=True)

    models = [load(path) for path in checkpoints]
    states = [model.state_dict() for model in models]
    average = {k: torch.stack([s[k] for s in states]).mean(0) for k in states[0]}
    models[-1].load_state_dict(average)
    save(models[-1], out)
    measure("average", models[-1])
    for path in checkpoints:
        measure(path.stem, load(path))


if __name__ == "__main__":
    typer.run(main)

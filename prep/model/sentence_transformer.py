"""A prep version as a sentence-transformers model, so that other programs can use its vectors.

Two ways, both with the vectors of `PrepModel.encode_queries` and of texts encoded by themselves:

- `PrepModel.save_sentence_transformer(folder)` writes a complete model, the low-rank updates merged in. It opens with
  `SentenceTransformer(folder)` wherever sentence-transformers is installed.
- `SentenceTransformer(version, trust_remote_code=True)` opens a version's own folder, which holds only the updates:
  `modules.json` names `PrepTransformer`, which merges them into the base. sentence-transformers 6 asks for the flag
  before it imports a class from outside its own package. Another base than the embedded one is named by
  `model_kwargs={"base": folder}`.

Importing this module imports sentence-transformers, which takes seconds: serving does without it (see
`prep.model.base_encoder`). Chunk vectors of a version with `vectors="shared"` depend on the document around the chunk,
and only `PrepModel` makes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Router, Transformer

from prep.errors import WeightsError
from prep.lora import Updates, merge_updates
from prep.model.base_encoder import base_fingerprint, locate_base
from prep.model.encoder import Encoder
from prep.model.prep_version import read_version

__all__ = ["PrepTransformer", "build_sentence_transformer"]


class PrepTransformer(Transformer):
    """The base of a prep version with the version's low-rank updates merged in: the first module of its pipeline."""

    @classmethod
    def load(
        cls, model_name_or_path: str, *args: Any, model_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> Self:
        """Load the version at `model_name_or_path`, its checksums verified first.

        model_kwargs: `base` names the encoder the version was trained on, by default the embedded one; the others are
        those of sentence-transformers. Raises WeightsError for damaged files, another base, and a version that encodes
        questions and documents by different encoders.
        """
        folder = Path(model_name_or_path)
        saved = read_version(folder)
        others = dict(model_kwargs or {})
        base = locate_base(others.pop("base", None))
        if (found := base_fingerprint(base)) != saved.base["sha256"]:
            raise WeightsError(
                f"{folder.name} was trained on {saved.base['name']} ({saved.base['sha256'][:12]}), not on the encoder "
                f"at {base} ({found[:12]}); name the right one: model_kwargs={{'base': folder}}"
            )
        if saved.updates is not None and saved.config.queries == "base":
            raise WeightsError(
                f"{folder.name} encodes questions and documents by different encoders; export it with "
                "PrepModel.save_sentence_transformer, which keeps both"
            )
        # Whatever subfolder or revision is asked for is the version's, not the base's.
        kwargs = {key: value for key, value in kwargs.items() if key not in ("subfolder", "revision")}
        module = super().load(str(base), model_kwargs=others, **kwargs)
        if saved.updates is not None:
            merge_updates(module.auto_model, saved.updates)
        return module


def build_sentence_transformer(
    encoder: Encoder, updates: Updates | None, *, trained_queries: bool
) -> SentenceTransformer:
    """Return a complete model in float32: the encoder's base with the updates merged, pooling, normalisation.

    trained_queries: False where questions are encoded by the base without the updates; `encode_query` and
    `encode_document` then take different routes.
    """
    documents = _pipeline(encoder, updates)
    modules = documents
    if updates is not None and not trained_queries:
        modules = [Router.for_query_document(_pipeline(encoder, None), documents)]
    prompts = {"query": encoder.query_prompt, "document": encoder.document_prompt}
    return SentenceTransformer(modules=modules, prompts=prompts, similarity_fn_name="cosine", device="cpu")


def _pipeline(encoder: Encoder, updates: Updates | None) -> list[Any]:
    transformer = Transformer.load(
        str(encoder.folder), local_files_only=True, model_kwargs={"dtype": "float32"}
    )
    transformer.max_seq_length = encoder.max_tokens
    if updates is not None:
        merge_updates(transformer.auto_model, updates)
    return [transformer, Pooling(encoder.dimension, encoder.pooling), Normalize()]

"""Decoding: generation under the grammar, and above it second retrieval, beam search and reranking."""

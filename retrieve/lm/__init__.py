"""The language model under the retrieve model: base, vocabulary, adapters, special tokens, attention masks."""

"""Question generation: questions on a corpus without labels, and the round trip that filters them."""

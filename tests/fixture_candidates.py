"""Settings of a training pass over a dozen documents that ends in seconds."""

from __future__ import annotations

from flows.candidates.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    n_examples=20, n_generated=0, held_out_every=4, minutes=0.02, prep_epochs=1, prep_pages=1, cut_steps=2
)

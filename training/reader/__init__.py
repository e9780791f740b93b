"""Training the reader: examples from labelled sets, the loss, the trainer, and what is measured of it."""

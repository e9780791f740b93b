"""Training and evaluation of the two models: labelled data, training stages, metrics and suites."""

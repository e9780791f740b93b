"""How the two models are trained and measured: labelled data, training signals, metrics and suites."""

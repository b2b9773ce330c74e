"""TLA+ modules, values, traces and the manifest of models, as data: no tool runs here."""

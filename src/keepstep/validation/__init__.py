"""Whether recorded runs are behaviours of the specification."""

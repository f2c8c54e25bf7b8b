"""Fixed patient-level folds as CSV files; read them with `survbench.read_splits`."""

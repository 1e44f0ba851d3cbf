"""The ledger: the record of a study in MLflow, and the only part that talks to it."""

import os

# MLflow reports its use to its makers unless told otherwise before it is imported; a user's studies are their own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

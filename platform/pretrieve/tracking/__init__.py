"""The ledger: the record of a study in MLflow. No other part uses MLflow."""

import os

# MLflow sends usage data to its makers unless this is set before its import.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

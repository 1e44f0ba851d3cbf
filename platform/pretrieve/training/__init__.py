"""Fine-tuning: networks with heads, batches, objectives, the loop and its scores. Knows nothing of Ray or MLflow."""

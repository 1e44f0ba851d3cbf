"""One trial as a process on the cluster: Tune, workers, heartbeat, retries, what each gets."""

"""The one store of what a study makes and a later run reads: keys, locks, atomic writes, digests, pruning."""

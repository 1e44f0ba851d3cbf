"""How fast a trial is on the cluster at hand, measured; and how many trials side by side give the most."""

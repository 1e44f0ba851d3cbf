"""What a study will cost, told before anything of it runs: counted from its settings, timed by a calibration."""

"""The audit for leaks: which training images show what the test images show."""

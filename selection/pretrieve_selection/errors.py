"""The exceptions of this package: one root, so that a caller can catch them all by one name."""


class SelectionError(Exception):
    """Root of every exception that this package raises on purpose."""


class SelectionInputError(SelectionError, ValueError):
    """An argument breaks a rule; the message gives the rule, the value, the place and the remedy."""

"""The exceptions of this package. `SelectionError` is their root, so that one name catches them all."""


class SelectionError(Exception):
    """Root of every exception that this package raises on purpose."""


class SelectionInputError(SelectionError, ValueError):
    """An argument breaks a rule; the message gives the rule, the value, the place and the remedy."""

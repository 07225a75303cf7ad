"""One test over many like cases, which lists those that fail."""


def violations(check, cases):
    """A line for each case (a tuple of arguments) that a check does not hold for."""
    lines = []
    for case in cases:
        try:
            check(*case)
        except Exception as error:
            lines.append(f"{case!r:.200}: {type(error).__name__}: {error}")
    return lines

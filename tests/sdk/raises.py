"""What both checks of a Python library share."""


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"nothing was raised instead of {kind.__name__}")

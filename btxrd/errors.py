"""Errors that the user can correct, and what to say about errors of other libraries."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate")


class InputError(Exception):
    """Wrong input: a config value, a file or a folder.

    The message is one line that names the key or file, the value, and what would be right. Line
    breaks in it become spaces, and control characters are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DamagedError(InputError):
    """A file of a run or sweep that was damaged or edited after it was written."""


def printable(text: str, longest: int | None = None) -> str:
    """Return a text as one line without control characters.

    Args:
        text: Any text, such as a file name that is not valid UTF-8.
        longest: Number of characters after which the text is cut. If None, it is not cut.
    """
    plain = " ".join(text.split())
    if not plain.isprintable():
        plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)
    return plain if longest is None or len(plain) <= longest else f"{plain[:longest]}..."


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the machine or of a GPU ran out.

    Code that catches all errors of a library checks this first, so that it does not report another
    cause.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    is_system = isinstance(error, RuntimeError | OSError)
    return is_system and any(sign in str(error) for sign in OUT_OF_MEMORY)


def describe_error(error: BaseException) -> str:
    """Return the message of an error; if memory ran out, also what to do about it."""
    if not ran_out_of_memory(error):
        return str(error)
    reason = " ".join(str(error).split())[:200]
    remedy = "lower training.batch_size or model.image_size, or do fewer runs in parallel"
    return f"memory ran out{f' ({reason})' if reason else ''}; {remedy}"

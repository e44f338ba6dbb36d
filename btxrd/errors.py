"""The errors that a user can mend."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate")


class InputError(Exception):
    """Wrong input: a config value, a file, a folder.

    The message is one line that names the key or file, the value, and what would be right; what
    another library says over several lines is joined.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DamagedError(InputError):
    """A file that is not as it was written."""


def printable(text: str, longest: int | None = None) -> str:
    """Return what can be shown of any text in one line: no control characters.

    Args:
        text: The text, which may hold anything, such as a file name that is not UTF-8.
        longest: Number of characters after which the rest is left out.
    """
    plain = " ".join(text.split())
    if not plain.isprintable():
        plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)
    return plain if longest is None or len(plain) <= longest else f"{plain[:longest]}..."


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of the machine or of a GPU ran out.

    Whatever catches errors of a library broadly asks this first, so that no other cause is named.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    is_system = isinstance(error, RuntimeError | OSError)
    return is_system and any(sign in str(error) for sign in OUT_OF_MEMORY)


def describe_error(error: BaseException) -> str:
    """Return what an error says, and what to do if memory ran out."""
    if not ran_out_of_memory(error):
        return str(error)
    said = " ".join(str(error).split())[:200]
    ways = "lower training.batch_size or model.image_size, or run fewer at once"
    return f"memory ran out{f' ({said})' if said else ''}; {ways}"

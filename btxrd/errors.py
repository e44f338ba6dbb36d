"""The error that a user can mend."""


class InputError(Exception):
    """Wrong input: a config value, a file, a folder.

    The message is one line that names the key or file, the value, and what would be right; what
    another library says over several lines is joined.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

"""What goes wrong because of what was passed in, in words for the person who passed it in."""


class DocumentError(ValueError):
    """An OCR document does not have the form that it must have. The text is one sentence that names the document."""


class TrainingInputError(ValueError):
    """Training cannot go on with what it was given: dataset, documents or hyperparameters.

    Attributes:
        user_message: one sentence that says what, where, and what to do; enough without a traceback.
    """

    def __init__(self, user_message: str) -> None:
        super().__init__(user_message)
        self.user_message = user_message


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has none."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")

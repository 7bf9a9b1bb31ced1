"""The one error a recipe raises: a setting that cannot be used, named by its field."""


class RecipeError(ValueError):
    """`field` is the setting at fault ("" for the recipe itself), `message` says what is wrong and what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message

"""The one error a recipe raises: a setting that cannot be used, named by its field."""


class RecipeError(ValueError):
    """`field` is the setting at fault ("" for the recipe itself), `message` says what is wrong and what is allowed.

    The message is a template in English, marked with `gettext_noop`, and `values` fills its %(name)s: whoever shows it
    translates the template first."""

    def __init__(self, field: str, message: str, **values: object) -> None:
        self.field = field
        self.template = message
        self.values = {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}
        self.message = message % self.values if values else message
        super().__init__(f"{field}: {self.message}" if field else self.message)

"""What can be wrong with a model."""

from workflow.experiment.errors import RequestError


class ModelError(RequestError):
    """A model that cannot be found, made or run; the message is one line for the user."""


class NotInstalledError(ModelError):
    """A model of a package that is optional, and not there."""

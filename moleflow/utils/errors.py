"""The two ways a run ends early; entry points turn them into one sentence and an exit code."""


class MoleflowError(Exception):
    """Something failed that the user could not have foreseen; ends with exit code 1."""

    exit_code = 1


class UsageError(MoleflowError):
    """The input or the command is wrong: what was expected, what was found, what to do; exit code 2."""

    exit_code = 2

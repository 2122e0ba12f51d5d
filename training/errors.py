"""The errors of training: each is one sentence that says what to do.

TrainingError
├── RecipeError    an option that does not exist, or a value that cannot be
├── DataError      a source that cannot be read, or nothing left to train on
└── OutOfMemory    one sequence does not fit, however small the micro-batch
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of all; `str(error)` is shown to the person at the terminal as it stands."""


class RecipeError(TrainingError):
    """The recipe asks for something that does not exist or cannot be."""


class DataError(TrainingError):
    """The data cannot be read, or none is left."""


class OutOfMemory(TrainingError):
    """The device does not hold even the smallest micro-batch."""

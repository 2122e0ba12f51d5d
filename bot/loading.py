"""Chooses the model from the settings; heavy imports wait until it loads."""

from __future__ import annotations

from bot.settings import Settings
from model.loading import open_model
from model.types import Model


def model_for(settings: Settings) -> Model:
    """The model's queue, not yet loaded."""
    key = settings.lanner_remote_key
    return open_model(
        model=settings.lanner_model,
        adapter=settings.lanner_adapter,
        data_dir=settings.lanner_data_dir,
        adapters_dir=settings.adapters_dir,
        slots=settings.lanner_slots,
        capacity=settings.lanner_queue_capacity,
        remote_key=key.get_secret_value() if key else None,
    )

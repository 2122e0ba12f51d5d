"""Every option, typed, in one place. Nothing else reads the environment."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """A value that cannot be used; the sentence names the option."""


class Settings(BaseSettings):
    """Read from the environment and from `.env`, names without regard to case."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    telegram_bot_token: SecretStr | None = Field(
        default=None,
        description="The bot's token from @BotFather. Without it, a demo page opens instead.",
    )
    lanner_admins: list[int] = Field(
        default=[], description="Telegram ids of admins, as a JSON list: [12345]."
    )
    lanner_model: str | None = Field(
        default=None,
        description="A hub id, a local folder or `demo`. "
        "By default tiiuae/falcon-7b with a CUDA GPU, the demo model without.",
    )
    lanner_adapter: str | None = Field(
        default=None,
        description="The LoRA adapter to start with: a folder's name under DATA_DIR/adapters.",
    )
    lanner_data_dir: Path = Field(
        default=Path("data"), description="Where the database, models and adapters are kept."
    )
    lanner_playground_port: int = Field(
        default=8181, ge=0, le=65535, description="The demo page's port on this machine."
    )
    lanner_queue_capacity: int = Field(
        default=64, ge=1, description="Requests that may wait for a reply."
    )
    lanner_max_new_tokens: int = Field(
        default=200, ge=8, le=2048, description="The longest reply, tokens."
    )
    lanner_temperature: float = Field(default=0.7, ge=0, le=2, description="0 is greedy.")
    lanner_deadline_s: float = Field(
        default=180, gt=0, description="Seconds that a reply may take."
    )
    lanner_retention_days: int = Field(
        default=90,
        ge=1,
        description="Messages older than this are deleted, unless a person chose less.",
    )
    lanner_log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @property
    def adapters_dir(self) -> Path:
        """Where `/reload` looks for adapters."""
        return self.lanner_data_dir / "adapters"

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the SQLite file."""
        return f"sqlite+aiosqlite:///{(self.lanner_data_dir / 'lanner.db').resolve()}"


def read_settings() -> Settings:
    """Settings, or SettingsError with one sentence."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = str(first["loc"][0]).upper()
        raise SettingsError(f"{name} cannot be used: {first['msg']}. Correct it in .env.") from None
    except Exception as error:
        raise SettingsError(
            f"The settings cannot be read: {type(error).__name__} in .env."
        ) from error


def example() -> str:
    """The text of .env.example."""
    lines = ["# Copy to .env and change what you need. Made by `python -m bot.settings`.", ""]
    for name, field in Settings.model_fields.items():
        default = field.default
        value = "" if default is None else default
        lines += [f"# {field.description}", f"# {name.upper()}={value}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(example())

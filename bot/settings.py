"""Every option, typed, in one place. Nothing else reads the environment.

`python -m bot.settings` writes .env.example, with `--markdown` the table for
the documentation. Knows nothing of what the options do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.types import Sampling


class SettingsError(Exception):
    """A value that cannot be used; the sentence names the option."""


class Settings(BaseSettings):
    """Read from the environment and from `.env`, names without regard to case."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    telegram_bot_token: SecretStr | None = Field(
        default=None,
        description="The bot's token from @BotFather. Without it, a demo page opens instead.",
    )
    lanner_admins: Annotated[list[int], NoDecode] = Field(
        default=[], description="Telegram ids of admins, with commas between: 12345, 67890."
    )
    lanner_model: str | None = Field(
        default=None,
        description="A hub id, a local folder, `demo`, or an OpenAI-compatible server with its "
        "model's name: http://127.0.0.1:8000/v1#falcon. "
        "By default tiiuae/falcon-7b with a CUDA GPU, the demo model without.",
    )
    lanner_remote_key: SecretStr | None = Field(
        default=None, description="The API key of the server that LANNER_MODEL names."
    )
    lanner_adapter: str | None = Field(
        default=None,
        description="The LoRA adapter to start with: a folder's name in LANNER_ADAPTERS_DIR.",
    )
    lanner_data_dir: Path = Field(
        default=Path("data"), description="Where the database, models and adapters are kept."
    )
    lanner_adapters_dir: Path | None = Field(
        default=None, description="Where /reload looks. By default LANNER_DATA_DIR/adapters."
    )
    lanner_database_url: str | None = Field(
        default=None,
        description="Another SQLite file than LANNER_DATA_DIR/lanner.db: "
        "sqlite+aiosqlite:////srv/lanner.db.",
    )
    lanner_playground_port: int = Field(
        default=8181, ge=0, le=65535, description="The demo page's port on this machine."
    )
    lanner_queue_capacity: int = Field(
        default=64, ge=1, description="Requests that may wait for a reply."
    )
    lanner_slots: int | None = Field(
        default=None,
        ge=1,
        description="Replies written at the same time. By default few on a CPU, many on a GPU.",
    )
    lanner_max_new_tokens: int = Field(
        default=200, ge=8, le=2048, description="The longest reply, tokens."
    )
    lanner_temperature: float = Field(default=0.7, ge=0, le=2, description="0 is greedy.")
    lanner_top_p: float = Field(
        default=0.9, gt=0, le=1, description="Choose among the likeliest tokens of this share."
    )
    lanner_top_k: int = Field(
        default=50, ge=0, description="Choose among so many of the likeliest tokens; 0 is all."
    )
    lanner_repetition_penalty: float = Field(
        default=1.1, ge=1, le=2, description="How much to shun words said before; 1 is not."
    )
    lanner_deadline_s: float = Field(
        default=180, gt=0, description="Seconds that a reply may take."
    )
    lanner_retention_days: int = Field(
        default=90,
        ge=1,
        le=36500,
        description="Messages older than this are deleted, unless a person chose less.",
    )
    lanner_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR."
    )

    @field_validator("lanner_admins", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> Any:
        """Ids with commas between, in brackets or not."""
        return value.strip(" []").replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("lanner_log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("lanner_database_url")
    @classmethod
    def _sqlite(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("sqlite+aiosqlite:///"):
            raise ValueError("it must begin with sqlite+aiosqlite:///, other databases do not work")
        return value

    @property
    def adapters_dir(self) -> Path:
        """Where `/reload` looks for adapters."""
        return self.lanner_adapters_dir or self.lanner_data_dir / "adapters"

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the SQLite file."""
        kept = f"sqlite+aiosqlite:///{(self.lanner_data_dir / 'lanner.db').resolve()}"
        return self.lanner_database_url or kept

    @property
    def sampling(self) -> Sampling:
        """How the model chooses its words."""
        return Sampling(
            temperature=self.lanner_temperature,
            top_p=self.lanner_top_p,
            top_k=self.lanner_top_k,
            repetition_penalty=self.lanner_repetition_penalty,
            max_new_tokens=self.lanner_max_new_tokens,
        )


def read_settings() -> Settings:
    """Settings, or SettingsError with one sentence."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name, why = str(first["loc"][0]).upper(), first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name} cannot be used: {why}. Correct it in .env.") from None
    except UnicodeDecodeError as error:
        raise SettingsError("The file .env is not UTF-8 text: save it again as UTF-8.") from error
    except Exception as error:
        raise SettingsError(
            f"The settings cannot be read: {type(error).__name__} in .env."
        ) from error


def example() -> str:
    """The text of .env.example."""
    lines = ["# Copy to .env and change what you need. Made by `python -m bot.settings`.", ""]
    for name, default, description in _options():
        lines += [f"# {description}", f"# {name}={default}", ""]
    return "\n".join(lines)


def markdown() -> str:
    """The table of options for the documentation."""
    rows = [f"| `{name}` | {f'`{d}`' if d else ''} | {text} |" for name, d, text in _options()]
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows, ""])


def _options() -> list[tuple[str, str, str]]:
    found = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, []) else str(field.default)
        found.append((name.upper(), default, field.description or ""))
    return found


if __name__ == "__main__":
    sys.stdout.write(markdown() if "--markdown" in sys.argv[1:] else example())

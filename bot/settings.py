"""Every option, typed, in one place. Nothing else reads the environment.

`python -m bot.settings` writes .env.example, with `--markdown` the table for
the documentation. Knows nothing of what the options do.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.sealing.master import FILE, MasterSource
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
        description="The LoRA adapter to start with: a folder's name in LANNER_ADAPTERS_DIR, or "
        "none for the model alone. By default the demo model takes the one that comes with Lanner.",
    )
    lanner_data_dir: Path = Field(
        default=Path("data"), description="Where the database, models and adapters are kept."
    )
    lanner_adapters_dir: Path | None = Field(
        default=None, description="Where /reload looks. By default LANNER_DATA_DIR/adapters."
    )
    lanner_database_url: str | None = Field(
        default=None,
        description="Another SQLite file than LANNER_DATA_DIR/lanner.db, "
        "sqlite:////srv/lanner.db, or PostgreSQL: "
        "postgresql+asyncpg://user:password@host/lanner.",
    )
    lanner_master_key: SecretStr | None = Field(
        default=None,
        description="The key that wraps every person's key, as `python -m bot.keys new` prints it. "
        "Without it, a file keeps one.",
    )
    lanner_master_key_file: Path | None = Field(
        default=None,
        description="The master key's file, made at the first start. "
        "By default LANNER_DATA_DIR/master.key.",
    )
    lanner_playground_port: int = Field(
        default=8181, ge=0, le=65535, description="The demo page's port on this machine."
    )
    lanner_playground_dir: Path | None = Field(
        default=None,
        description="Where the demo page keeps its chats, as Telegram would, so that a restart "
        "shows them; /forget_me does not reach it. By default they end with the program, and "
        "`make run` keeps them in data/page.",
    )
    lanner_api_url: str | None = Field(
        default=None,
        description="A Bot API server of your own instead of Telegram's: http://127.0.0.1:8081.",
    )
    lanner_webhook_url: str | None = Field(
        default=None,
        description="The public https address of a proxy that passes /telegram on to this "
        "machine. Without it, Lanner asks Telegram for updates by itself.",
    )
    lanner_webhook_secret: SecretStr | None = Field(
        default=None,
        description="The secret that Telegram sends with each update: 1 to 256 letters, digits, "
        "_ or -. By default a new one at each start.",
    )
    lanner_webhook_host: str = Field(
        default="127.0.0.1", description="The address on which updates are awaited."
    )
    lanner_webhook_port: int = Field(
        default=8182, ge=1, le=65535, description="The port on which updates are awaited."
    )
    lanner_dashboard_port: int = Field(
        default=8182,
        ge=0,
        le=65535,
        description="The port of the operator's dashboard, health and metrics on this machine; "
        "0 takes any free port.",
    )
    lanner_queue_capacity: int = Field(
        default=64, ge=1, description="Requests that may wait for a reply."
    )
    lanner_slots: int | None = Field(
        default=None,
        ge=1,
        description="Replies written at the same time. By default few on a CPU, many on a GPU.",
    )
    lanner_kernels: Literal["auto", "compiled", "triton", "bitsandbytes"] = Field(
        default="auto",
        description="How Falcon runs on a GPU: compiled (Hopper and nvcc), triton, bitsandbytes, "
        "or auto, the first of these that can.",
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
    lanner_follow_up_minutes: Annotated[list[int], NoDecode] = Field(
        default=[15, 180, 1440],
        description="Minutes after which a person in danger is asked how they are: the first for "
        "imminent danger, from the second on for all.",
    )
    lanner_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR."
    )
    lanner_log_format: Literal["auto", "json", "words"] = Field(
        default="auto", description="json or words; auto is words on a terminal, json elsewhere."
    )
    lanner_admission: Literal["open", "invite", "list"] = Field(
        default="open",
        description="Who may talk: everyone (open), who has an invite code (invite), or only "
        "LANNER_ALLOWED (list). Words of danger are answered in any case.",
    )
    lanner_allowed: Annotated[list[int], NoDecode] = Field(
        default=[], description="Telegram ids that may always talk, with commas between."
    )
    lanner_person_rate: int = Field(
        default=20, ge=1, description="Messages that one person may send in a minute."
    )
    lanner_total_rate: int = Field(
        default=600, ge=1, description="Messages that all people together may send in a minute."
    )
    lanner_backup_dir: Path | None = Field(
        default=None, description="Where `make backup` writes. By default LANNER_DATA_DIR/backups."
    )

    @field_validator("lanner_admins", "lanner_allowed", "lanner_follow_up_minutes", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """Numbers with commas between, in brackets or not."""
        return value.strip(" []").replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("lanner_follow_up_minutes")
    @classmethod
    def _growing(cls, value: list[int]) -> list[int]:
        if not value or min(value) < 1 or sorted(value) != value:
            raise ValueError("it must be minutes in growing order, with commas between")
        return value

    @field_validator("lanner_log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("lanner_database_url")
    @classmethod
    def _known_database(cls, value: str | None) -> str | None:
        kinds = ("sqlite:///", "postgresql+asyncpg://")
        if value is not None and not value.startswith(kinds):
            raise ValueError(f"it must begin with {' or '.join(kinds)}")
        return value

    @field_validator("lanner_webhook_url")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://127.0.0.1")):
            raise ValueError("it must begin with https://, Telegram calls no other")
        return value

    @field_validator("lanner_webhook_secret")
    @classmethod
    def _plain_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\w-]{1,256}", value.get_secret_value(), re.A):
            raise ValueError("it may hold 1 to 256 letters, digits, _ and -")
        return value

    @property
    def database_file(self) -> Path | None:
        """Where the SQLite file is; None when the database is a server."""
        kind, _, path = self.database_url.partition("///")
        return Path(path) if kind.startswith("sqlite") else None

    @property
    def adapters_dir(self) -> Path:
        """Where `/reload` looks for adapters."""
        return self.lanner_adapters_dir or self.lanner_data_dir / "adapters"

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the database."""
        kept = f"sqlite:///{(self.lanner_data_dir / 'lanner.db').resolve()}"
        return self.lanner_database_url or kept

    @property
    def master_key(self) -> MasterSource:
        """Where the master key is kept."""
        text = self.lanner_master_key.get_secret_value() if self.lanner_master_key else None
        return MasterSource(self.lanner_master_key_file or self.lanner_data_dir / FILE, text)

    @property
    def backup_dir(self) -> Path:
        """Where backups are written."""
        return self.lanner_backup_dir or self.lanner_data_dir / "backups"

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

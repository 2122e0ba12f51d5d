"""Every option is described, and a wrong value is one sentence that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.settings import Settings, SettingsError, example, markdown, read_settings

ROOT = Path(__file__).parents[2]
TOKEN = "123456:a-secret-that-must-not-be-seen"


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env and no option of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith(("LANNER_", "TELEGRAM_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("made", [[], ["--markdown"]])
def test_the_program_writes_the_example_and_the_table(made: list[str]) -> None:
    run = [sys.executable, "-m", "bot.settings", *made]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (markdown() if made else example())


def test_the_example_file_is_current() -> None:
    assert (ROOT / ".env.example").read_text("utf-8") == example()


def test_the_example_and_the_table_name_every_option_with_its_meaning() -> None:
    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n# {name.upper()}=" in example()
        assert f"| `{name.upper()}` |" in markdown()
        assert field.description


def test_the_example_used_as_it_is_changes_nothing(tmp_path: Path) -> None:
    before = read_settings()
    (tmp_path / ".env").write_text(example(), "utf-8")
    assert read_settings() == before


def test_the_defaults_written_out_are_the_defaults(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in example().splitlines()]
    before = read_settings()
    options = [line for line in lines if line.split("=")[0].isupper() and "=" in line]
    assert len(options) == len(Settings.model_fields)
    (tmp_path / ".env").write_text("\n".join(options), "utf-8")
    assert read_settings() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANNER_ADMINS", "me"),
        ("LANNER_PLAYGROUND_PORT", "99999"),
        ("LANNER_PLAYGROUND_PORT", "http"),
        ("LANNER_QUEUE_CAPACITY", "0"),
        ("LANNER_SLOTS", "0"),
        ("LANNER_TEMPERATURE", "hot"),
        ("LANNER_TOP_P", "0"),
        ("LANNER_TOP_K", "-1"),
        ("LANNER_REPETITION_PENALTY", "0"),
        ("LANNER_RETENTION_DAYS", "0"),
        ("LANNER_LOG_LEVEL", "LOUD"),
        ("LANNER_DATABASE_URL", "postgresql://u:a-password@host/db"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_option(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    sentence = str(refused.value)
    assert sentence.startswith(f"{name} cannot be used: ")
    assert sentence.endswith(".env.")
    assert "\n" not in sentence
    assert "a-password" not in sentence


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"LANNER_MODEL=\xff\xfe\n")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_settings()


@pytest.mark.parametrize("written", ["12,34", "[12, 34]", " 12 34 ", "12,34,"])
def test_admins_are_written_with_commas_or_in_brackets(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANNER_ADMINS", written)
    assert read_settings().lanner_admins == [12, 34]


def test_the_token_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    settings = read_settings()
    assert settings.telegram_bot_token is not None
    assert settings.telegram_bot_token.get_secret_value() == TOKEN
    assert (
        TOKEN not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    )


def test_folders_follow_the_data_directory_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANNER_DATA_DIR", "/srv/lanner")
    settings = read_settings()
    assert settings.adapters_dir == Path("/srv/lanner/adapters")
    assert settings.database_url == "sqlite:////srv/lanner/lanner.db"
    monkeypatch.setenv("LANNER_ADAPTERS_DIR", "/srv/adapters")
    monkeypatch.setenv("LANNER_DATABASE_URL", "sqlite:////srv/x.db")
    settings = read_settings()
    assert settings.adapters_dir == Path("/srv/adapters")
    assert settings.database_url == "sqlite:////srv/x.db"


def test_sampling_follows_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANNER_TEMPERATURE", "0")
    monkeypatch.setenv("LANNER_TOP_P", "0.5")
    found = read_settings().sampling
    assert (found.temperature, found.top_p, found.top_k) == (0, 0.5, 50)

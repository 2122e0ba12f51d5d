"""Crisis lines by country, from the checked table. Numbers come from nowhere else."""

from __future__ import annotations

import csv
import io

from bot.safety.files import data_text

DIRECTORY = "Lines in other countries: https://findahelpline.com"
ANY_EMERGENCY = "your local emergency number (112 in Europe, 911 in North America)"


def rows(country: str) -> list[dict[str, str]]:
    """Lines of a country that may be shown: none of low confidence."""
    table = csv.DictReader(io.StringIO(data_text("crisis_lines.csv")))
    return [
        row
        for row in table
        if row["country_iso2"] == country.upper() and row["confidence"] != "low"
    ]


def help_lines(country: str | None, *, guessed: bool = False) -> tuple[str, str]:
    """Text that lists the country's lines, and how to call its emergency service."""
    found = rows(country) if country else []
    shown = [_line(row) for row in found]
    if guessed and found:
        shown.insert(0, f"(I am guessing that you are in {found[0]['country']}; /settings)")
    emergency = next((row["emergency_number"] for row in found if row["emergency_number"]), "")
    return "\n".join([*shown, DIRECTORY]), emergency or ANY_EMERGENCY


def _line(row: dict[str, str]) -> str:
    ways = [f"call {row['phone']}"] if row["phone"] else []
    ways += [f"text {row['text_sms']}"] if row["text_sms"] else []
    ways += [row["chat_url"]] if row["chat_url"] else []
    # Where sources give no hours, none are claimed.
    hours = f" ({row['hours']})" if row["hours"] else ""
    return f"• {row['name']}: {', '.join(ways)}{hours}"

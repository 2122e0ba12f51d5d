"""Puts a fixed reply together from reviewed texts and the person's crisis lines.

Every sentence comes from data/replies.yaml and every number from
data/crisis_lines.csv; nothing here is generated. Knows no message text.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from bot.safety.files import data_text
from bot.safety.lines import DIRECTORY, CrisisLine, CrisisLines, describe
from bot.safety.types import Assessment, FixedReply, Level, PersonContext

_SHOWN = 2
_HEARD = (
    ("minor", "minor_abuse"),
    ("violence", "violence_home"),
    ("harm_others", "harm_others"),
    ("psychosis", "psychosis"),
    ("suicide.third", "third_person"),
    ("suicide", "suicide"),
    ("selfharm", "self_harm"),
    ("eating", "eating"),
)


class Replies:
    """The texts by language, and the lines by country.

    A language that is not in `spoken` is answered in English: a translation
    that nobody has reviewed is there to be reviewed, not to be sent.
    """

    def __init__(
        self,
        texts: Mapping[str, Mapping[str, str]],
        lines: CrisisLines,
        version: str,
        spoken: frozenset[str] = frozenset({"en"}),
    ) -> None:
        self._texts = texts
        self._lines = lines
        self.version = version
        self._spoken = spoken | {"en"}

    @classmethod
    def load(cls, spoken: frozenset[str] = frozenset({"en"})) -> Replies:
        """Read the shipped texts and table."""
        page = yaml.safe_load(data_text("replies.yaml"))
        version = f"replies{page['version']}-{page['date']}"
        return cls(page["languages"], CrisisLines.load(), version, spoken)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that have texts, reviewed or not."""
        return tuple(self._texts)

    def crisis(self, assessment: Assessment, person: PersonContext) -> FixedReply:
        """What was heard, are you safe, a number, and people, in that order.

        At level 3 the emergency number stands first.
        """
        texts = self._for(person.language)
        heard = texts[_heard(assessment)]
        parts = [heard]
        if assessment.level is Level.IMMINENT:
            parts = [self._emergency(texts, person, "emergency_now"), heard, texts["ask_now"]]
        elif assessment.refuse:
            parts = [texts["refuse_" + _refusal(assessment.refuse)], texts["ask"]]
        else:
            parts.append(texts["ask"])
        parts.append(self._numbers(texts, person))
        if assessment.level is not Level.IMMINENT:
            parts.append(self._emergency(texts, person, "emergency"))
        parts.append(texts["people"])
        parts.append(texts["stay" if assessment.level is Level.IMMINENT else "program"])
        return FixedReply("\n\n".join(parts), self.version)

    def check_in(self, person: PersonContext) -> FixedReply:
        """For level 1, after the model's reply."""
        texts = self._for(person.language)
        text = f"{texts['check_in']}\n\n{self._numbers(texts, person)}"
        return FixedReply(text, self.version)

    def guarded(self, person: PersonContext) -> str:
        """Shown in place of a model reply that must not be shown."""
        texts = self._for(person.language)
        return f"{texts['guard']}\n\n{self._numbers(texts, person)}"

    def _for(self, language: str) -> Mapping[str, str]:
        short = language.lower().replace("_", "-").split("-")[0]
        return self._texts[short if short in self._spoken and short in self._texts else "en"]

    def _numbers(self, texts: Mapping[str, str], person: PersonContext) -> str:
        country = self._lines.country(person.country)
        directory = texts["directory"].format(url=DIRECTORY)
        if country is None:
            return f"{texts['no_country']}\n{directory}"
        shown = _best(country.lines, person.language)
        if not shown:
            return f"{texts['no_line'].format(country=country.name)}\n{directory}"
        head = "lines_guess" if person.country_is_guess else "lines"
        rows = "\n".join(f"• {describe(line, texts)}" for line in shown)
        return f"{texts[head].format(country=country.name)}\n{rows}\n{directory}"

    def _emergency(self, texts: Mapping[str, str], person: PersonContext, key: str) -> str:
        country = self._lines.country(person.country)
        if country is None or not country.emergency or person.country_is_guess:
            hint = country.emergency if country is not None else ""
            if hint and country is not None:
                return texts[key + "_guess"].format(number=hint, country=country.name)
            return texts[key + "_unknown"]
        return texts[key].format(number=country.emergency)


def _best(lines: tuple[CrisisLine, ...], language: str) -> tuple[CrisisLine, ...]:
    """Lines in the person's language first, then those known to be always open."""
    short = language.lower()[:2]
    ranked = sorted(lines, key=lambda n: (short not in n.languages, n.hours != "24/7"))
    return tuple(ranked[:_SHOWN])


def _heard(assessment: Assessment) -> str:
    for start, key in _HEARD:
        if any(rule.startswith(start) for rule in assessment.rules):
            return key
    return "suicide" if assessment.level >= Level.HIGH else "general"


def _refusal(kind: str) -> str:
    return kind if kind in ("method", "eating") else "method"

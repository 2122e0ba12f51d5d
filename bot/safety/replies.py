"""Puts a fixed reply together from reviewed texts and the person's crisis lines.

Every sentence comes from data/replies.yaml and every number from
data/crisis_lines.csv; nothing here is generated. Knows no message text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from bot.safety.files import data_page
from bot.safety.lines import DIRECTORY, CrisisLine, CrisisLines, describe
from bot.safety.types import Assessment, FixedReply, Level, PersonContext

NOBODY = "nobody yet"  # in replies.yaml: who has reviewed a language's texts
REFUSED = ("method", "eating")  # requests with a refusal of their own
MINOR = "minor"  # the person says that they are under 18
_SHOWN = 2
_DIVIDER = "— English —"
_HEARD = (
    ("minor", "minor_abuse"),
    ("violence", "violence_home"),
    ("harm_others", "harm_others"),
    ("psychosis", "psychosis"),
    ("classifier.psychosis", "unreal"),
    ("context.psychosis", "unreal"),
    ("suicide.third", "third_person"),
    ("suicide", "suicide"),
    ("selfharm", "self_harm"),
    ("eating", "eating"),
)


class Replies:
    """The texts by language, and the lines by country.

    A translation that nobody has reviewed is followed by the English text: a
    person in danger who reads no English must not be left without a word that
    they can read. Languages in `unspoken` are answered in English alone.
    """

    def __init__(
        self,
        texts: Mapping[str, Mapping[str, str]],
        lines: CrisisLines,
        version: str,
        reviewed: frozenset[str] = frozenset(),
        unspoken: frozenset[str] = frozenset(),
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._texts = texts
        self._today = today
        self._lines = lines
        self.version = version
        self._spoken = (frozenset(texts) - unspoken) | {"en"}
        self._reviewed = reviewed | {"en"}

    @classmethod
    def load(cls, unspoken: frozenset[str] = frozenset()) -> Replies:
        """Read the shipped texts and table."""
        page = data_page("replies.yaml")
        version = f"replies{page['version']}-{page['date']}"
        reviewed = frozenset(k for k, by in page["reviewed_by"].items() if by != NOBODY)
        return cls(page["languages"], CrisisLines.load(), version, reviewed, unspoken)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that have texts, reviewed or not."""
        return tuple(self._texts)

    def withheld(self) -> tuple[str, ...]:
        """Countries with a line that is no longer shown, for the operator to have checked."""
        stale = self._lines.stale(self._today())
        return tuple(dict.fromkeys(line.country for line in stale))

    def crisis(self, assessment: Assessment, person: PersonContext) -> FixedReply:
        """What was heard, are you safe, a number, and people, in that order.

        At level 3 the emergency number stands first.
        """
        return self._said(person, lambda texts: self._crisis(texts, assessment, person))

    def check_in(self, person: PersonContext) -> FixedReply:
        """For level 1, after the model's reply."""
        return self._said(
            person, lambda texts: f"{texts['check_in']}\n\n{self._numbers(texts, person)}"
        )

    def follow_up(self, person: PersonContext) -> FixedReply:
        """How the person is now, with the lines again."""
        return self._said(
            person,
            lambda texts: (
                f"{texts['follow_up']}\n\n{self._numbers(texts, person)}\n\n"
                + self._emergency(texts, person, "emergency")
            ),
        )

    def guarded(self, person: PersonContext) -> str:
        """Shown in place of a model reply that must not be shown."""
        return self._said(
            person, lambda texts: f"{texts['guard']}\n\n{self._numbers(texts, person)}"
        ).text

    def _crisis(
        self, texts: Mapping[str, str], assessment: Assessment, person: PersonContext
    ) -> str:
        heard = texts[_heard(assessment)]
        parts = [heard]
        if assessment.level is Level.IMMINENT:
            parts = [self._emergency(texts, person, "emergency_now"), heard, texts["ask_now"]]
        elif assessment.refuse == MINOR and assessment.level < Level.HIGH:
            parts = [texts["refuse_minor"]]
        elif assessment.refuse in REFUSED:
            parts = [texts["refuse_" + assessment.refuse], texts["ask"]]
        else:
            parts.append(texts["ask"])
        if assessment.refuse == MINOR and assessment.level >= Level.HIGH:
            parts.append(texts["young"])
        parts.append(self._numbers(texts, person))
        if assessment.level is not Level.IMMINENT:
            parts.append(self._emergency(texts, person, "emergency"))
        parts.append(texts["people"])
        parts.append(texts["stay" if assessment.level is Level.IMMINENT else "program"])
        return "\n\n".join(parts)

    def _said(
        self, person: PersonContext, compose: Callable[[Mapping[str, str]], str]
    ) -> FixedReply:
        """In the person's language; in English too where nobody has reviewed that."""
        short = person.language.lower().replace("_", "-").split("-")[0]
        language = short if short in self._spoken else "en"
        text = compose(self._texts[language])
        if language not in self._reviewed:
            text += f"\n\n{_DIVIDER}\n\n{compose(self._texts['en'])}"
        return FixedReply(text, self.version)

    def _numbers(self, texts: Mapping[str, str], person: PersonContext) -> str:
        country = self._lines.country(person.country)
        directory = texts["directory"].format(url=DIRECTORY)
        if country is None:
            return f"{texts['no_country']}\n{directory}"
        today = self._today()
        fresh = tuple(line for line in country.lines if line.fresh(today))
        shown = _best(fresh, person.language)
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


def _kind(rule: str) -> str:
    """`classifier.suicide` says the same as a rule about suicide, but for what only it hears."""
    source, _, kind = rule.partition(".")
    return kind if source in ("classifier", "context") and kind != "psychosis" else rule


def _heard(assessment: Assessment) -> str:
    rules = [*assessment.rules, *map(_kind, assessment.rules)]
    for start, key in _HEARD:
        if any(rule.startswith(start) for rule in rules):
            return key
    return "suicide" if assessment.level >= Level.HIGH else "general"

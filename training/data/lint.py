"""What a listening companion must not learn to say, as rules over one text.

A rule either drops the dialogue or only the sentence that meets it. These are
patterns: they find what is written plainly and miss what is not, and every hit
is shown to the person who trains. Knows texts; knows no files or tokens.
"""

# ruff: noqa: E501 - patterns are read whole

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Where = Literal["reply", "any"]
Action = Literal["drop", "strip"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`where`: whose words are judged. `action`: drop the dialogue, or strip the sentence."""

    id: str
    says: str
    where: Where
    action: Action
    pattern: re.Pattern[str]


def _rule(name: str, says: str, where: Where, action: Action, *patterns: str) -> Rule:
    return Rule(name, says, where, action, re.compile("|".join(patterns), re.IGNORECASE))


_UNABLE = r"(?:can(?:no|['’])t|am unable to|am not able to|unable to)"
_NOT_IF = r"(?<!if )(?<!when )(?<!whether )(?<!think )(?<!that )(?<!because )(?<!since )"
_ILLNESS = (
    r"(?:clinical(?:ly)? |major |severe |bipolar |generali[sz]ed )?(?:depression|depressed|bipolar|"
    r"anxiety|ptsd|ocd|adhd|schizophreni[ac]|borderline|anorexia|bulimia|psychosis|psychotic|"
    r"autis\w+|narcissis\w+|alcoholi\w+|dissociative|a (?:\w+ )?disorder|an? eating disorder)"
)
_DRUG = (
    r"(?:xanax|alprazolam|prozac|fluoxetine|zoloft|sertraline|lexapro|escitalopram|celexa|citalopram|"
    r"paxil|paroxetine|effexor|venlafaxine|cymbalta|duloxetine|wellbutrin|bupropion|lithium|lamictal|"
    r"lamotrigine|abilify|seroquel|quetiapine|zyprexa|olanzapine|risperdal|klonopin|clonazepam|valium|"
    r"diazepam|ativan|lorazepam|adderall|ritalin|ambien|trazodone|buspar|melatonin|st\.? john['’]?s wort|"
    r"ssris?|snris?|maois?|benzodiazepines?|antipsychotics?)"
)

RULES = (
    _rule(
        "refuses-help",
        "refuses the help that a person in need asks for",
        "reply",
        "drop",
        rf"{_UNABLE} (?:provide|give|offer) (?:you )?(?:with )?(?:the )?"
        r"(?:help|support|assistance|helpline|hotline|crisis)",
        rf"sorry[^.?!]{{0,60}}{_UNABLE} help",
    ),
    _rule(
        "crisis",
        "is about suicide or self-harm: crisis text is fixed and reviewed, never learnt",
        "any",
        "drop",
        r"suicid\w*",
        r"kill(?:ing|ed)? (?:myself|yourself|himself|herself|themselves)",
        r"self[- ]?harm\w*",
        r"self[- ]injur\w*",
        r"(?:hurt(?:ing)?|cut(?:ting)?|harm(?:ing)?) (?:myself|yourself)\b",
        r"end (?:my|your|it) (?:own )?(?:life|all)\b",
        r"want(?:ed|s)? to die\b",
        r"tak(?:e|ing) (?:my|your|their|one['’]s) own life",
        r"\boverdos\w*",
        r"better off dead",
    ),
    _rule(
        "unfinished",
        "breaks off in the middle",
        "reply",
        "drop",
        r"(?:\.\.\.|…)\s*$",
    ),
    _rule(
        "dose",
        "names a dose",
        "any",
        "drop",
        r"\b\d+(?:[.,]\d+)? ?(?:mg|mcg|µg|milligrams?|micrograms?)\b",
    ),
    _rule(
        "medication",
        "advises on medication",
        "reply",
        "strip",
        rf"\b{_DRUG}\b",
        r"(?:take|taking|try|start|stop|increase|reduce|adjust|change|switch|combine|quit)\w* "
        r"(?:\w+ ){0,3}(?:medications?|meds|medicines?|antidepressants?|drugs?|pills?|dos(?:e|es|age))\b",
        r"\bprescri(?:be|bed|ption)s?\b",
    ),
    _rule(
        "diagnosis",
        "tells the person what they have",
        "reply",
        "strip",
        rf"{_NOT_IF}\byou (?:clearly |probably |likely |definitely |do |may |might |could )*"
        rf"(?:have|are|suffer from|are suffering from|are experiencing) (?:a |an )?{_ILLNESS}",
        rf"(?:sounds|looks|seems) like (?:you (?:have|are|may have|might have) )?(?:a |an )?{_ILLNESS}",
        r"\b(?:my|a|your) diagnosis (?:is|would be)\b",
        r"\bi (?:would )?diagnose\b",
    ),
    _rule(
        "person",
        "claims to be a person, a therapist or a doctor",
        "reply",
        "strip",
        r"\bas an? (?:\w+ ){0,2}(?:therapist|counsell?or|psychologist|psychiatrist|clinician|doctor|"
        r"social worker|coach|mother|father|parent|woman|man|wife|husband|christian)\b,? i\b",
        r"\bi(?:['’]?m| am) an? (?:\w+ ){0,3}(?:therapist|counsell?or|psychologist|psychiatrist|doctor|"
        r"clinician|nurse|coach|human|person|woman|man|mother|father)\b",
        r"\bmy (?:own )?(?:practice|patients?|clients?|office|clinic|wife|husband|children|kids|son|"
        r"daughter|mother|father|childhood|therapist|colleagues?)\b",
        r"\bi (?:treat|counsel|specialize|work with|have worked with|see) (?:\w+ )?(?:clients|patients|"
        r"people|couples|individuals|families|teens|adults)\b",
        r"\bin my (?:\w+ )?(?:experience|work)\b",
        r"\bwhen i was (?:a|an|young|your|in|growing)\b",
        r"\b(?:call|contact|e-?mail|message|visit) me\b",
        r"\bbook (?:an? )?(?:appointment|session) with me\b",
    ),
    _rule(
        "phone",
        "holds a telephone number",
        "any",
        "strip",
        # Eight digits with at most one sign between two of them: "1. 2. 3." counts a list.
        r"(?<![\w.])\+?\(?\d(?:(?:\) ?| ?\(|[ .-])?\d){7,}(?!\w)",
        r"\b(?:1-)?8(?:00|33|44|55|66|77|88)-\w{3}-?\w{4}\b",
        r"\b(?:call|dial|text|phone|ring)(?:ing)? (?:\w+ ){0,3}\(?\d{3,6}\b",
    ),
    _rule(
        "link",
        "holds a link or an address",
        "any",
        "strip",
        r"https?://\S+",
        r"\bwww\.\S+",
        r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b",
        r"\b[\w-]+\.(?:com|org|net|edu|gov|info|co\.uk)\b",
    ),
    _rule(
        "placeholder",
        "holds a placeholder",
        "any",
        "strip",
        r"\[(?:link|phone|name|email|address|url|city|your \w+|\w+ name)\]",
        r"<(?:name|phone|link|email)>",
        r"\{\{.*?\}\}",
        r"\bXX+\b",
    ),
    _rule(
        "name",
        "signs with a name or a title",
        "any",
        "strip",
        r"\bmy name is \w+",
        r"(?-i:\b(?:Dr|Mr|Mrs|Ms|Prof)\. ?[A-Z])",
        r"(?-i:\b(?:LMFT|LCSW|LMHC|LPC|LCPC|LMSW|NCC|Psy\.?D|Ph\.?D|M\.?Ed|MFT)\b)",
        r"(?:^|\n)(?:sincerely|best wishes|warm regards|kind regards|regards|namaste|blessings)\b[^.\n]*",
    ),
)
BY_ID = {rule.id: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that a text met, and the words that met it."""

    rule: Rule
    words: str


def hits(text: str, role: str) -> list[Hit]:
    """Every rule that these words of `user` or `assistant` meet, each once."""
    found = []
    for rule in RULES:
        if rule.where == "any" or role == "assistant":
            match = rule.pattern.search(text)
            if match:
                found.append(Hit(rule, match[0].strip()))
    return found

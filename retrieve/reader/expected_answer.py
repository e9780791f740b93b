"""What an answer must hold by the form of its question: a number where it asks how many, a time where it asks when."""

from __future__ import annotations

import re

__all__ = ["expected_in", "is_polar"]

_NUMBER = re.compile(
    r"\d|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|hundreds?|thousands?|[mb]illions?|dozens?|half|thirds?|quarters?|double|twice|once"
    r"|both|single|none|no|all|any|unlimited|several|few|many|couple|pair|free)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\d|\b(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|spring|summer|autumn|winter|(?:mid)?nights?|noon|mornings?"
    r"|afternoons?|evenings?|days?|daily|weeks?|weekly|weekends?|weekdays?|months?|monthly|years?|yearly|annual(?:ly)?|quarters?"
    r"|hours?|hourly|minutes?|seconds?|century|centuries|decades?|eras?|ages?|wars?|today|tomorrow|yesterday|now|soon"
    r"|immediately|always|never|once|when(?:ever)?|while|after(?:wards)?|before|during|until|till|since|then|as soon"
    r"|(?:at|by|from|to|around) (?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
    r"|if|unless|birthday|start(?:s|up)?|end(?:s)?|first|last|time[sd]?|upon|prior|later|earlier|old|already)\b",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(r"\bhow (?:many|much)\b", re.IGNORECASE)
_WHEN = re.compile(
    r"\W*(?:(?:and|so|but|since|from|until|till|by)\W+){0,2}when\W+"
    r"(?:is|was|were|are|do|does|did|will|can|could|should|has|have|had|must|may|might|would)\b",
    re.IGNORECASE,
)
_POLAR = re.compile(
    r"(?:^|[.,;:!?]\s+(?:so |and |but )?)(?:is|are|was|were|am|do|does|did|can|could|may|might|must|shall|should|will"
    r"|would|has|have|had|(?:is|are|do|does|did|ca|could|wo|would|should)n't)\s+\w[^?]*\?*\s*$",
    re.IGNORECASE,
)


def expected_in(question: str) -> re.Pattern[str] | None:
    """Return what a sentence must hold to answer this question; None where its form does not say.

    >>> bool(expected_in("How many work there?").search("It has a staff of nine."))
    True
    >>> expected_in("When was it founded?").search("It was founded by Irma Solberg.") is None
    True
    >>> expected_in("Who founded it?") is None
    True
    """
    if _HOW_MANY.search(question):
        return _NUMBER
    return _TIME if _WHEN.match(question) else None


def is_polar(question: str) -> bool:
    """Whether a question asks for yes or no: its last clause begins with an auxiliary verb.

    >>> is_polar("I lost my key. Can I get another?"), is_polar("What can I get?")
    (True, False)
    """
    return bool(_POLAR.search(question))

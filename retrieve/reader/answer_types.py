"""What kinds of answer there are, in the order in which the reader scores them."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = ["ANSWER_TYPES", "AnswerType"]

AnswerType: TypeAlias = Literal["span", "yes", "no", "list", "steps", "statement"]

ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)

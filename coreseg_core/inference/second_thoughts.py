"""Second thoughts: a reply that turns a question away and then says of the picture what the question said is not taken.

"The question does not fit: this is dermoscopy of skin." to "Mark the skin tumor." is no refusal but a slip, and costs
the reader her mask. Such a question is answered once more, and that form of answer is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from coreseg_core.answer import parse
from coreseg_core.inference.decode import DecodeOptions, Reply, decode_replies
from coreseg_core.inference.fitting import contradicts_itself
from coreseg_core.models.mllm import KeyValues, LanguageModel


def rethought(
    language: LanguageModel,
    prefixes: Sequence[KeyValues],
    questions: Sequence[str],
    replies: Sequence[Reply],
    options: DecodeOptions,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> dict[int, Reply]:
    """Return new replies by their place, in the place of those that contradict themselves.

    Args:
        language: The language model.
        prefixes: Of each question, one row of keys and values of system and picture.
        questions: What was asked.
        replies: What was answered.
        options: How it was decoded.
        should_stop: Asked before every step.

    Raises:
        Cancelled: If `should_stop` said so.
    """
    found = {}
    for place, (prefix, question, reply) in enumerate(zip(prefixes, questions, replies, strict=True)):
        said = parse(reply.text)
        if said.kind != "mismatch":
            continue
        if contradicts_itself(question, modality=said.modality, anatomy=said.anatomy):
            fitting = replace(options, must_fit=True)
            (found[place],) = decode_replies(language, prefix, question, fitting, should_stop=should_stop)
    return found

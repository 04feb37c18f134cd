"""Chat messages as token ids, in the form Qwen2.5-VL was trained on: a prefix that ends with the picture, then the
question. The prefix is the same for every question about one picture."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from coreseg_core.answer import ANSWER_OPEN
from coreseg_core.errors import ModelError
from coreseg_core.models.seg_token import SEG
from coreseg_core.prompts import chat_messages
from coreseg_core.record import ReasoningMode

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


class ChatTokenizer:
    """Turns questions and answers into ids and back.

    Args:
        tokenizer: A tokenizer in Qwen2 format.
        vocab_rows: Rows of the model's table; `<seg>` must fit into the spare ones.

    Raises:
        ModelError: If a tag of the chat format is missing or `<seg>` finds no spare row.
    """

    def __init__(self, tokenizer: Tokenizer, *, vocab_rows: int) -> None:
        missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
        if missing:
            raise ModelError(
                f"The tokenizer lacks {missing[0]}.", remedy="Use the tokenizer.json of Qwen2.5-VL."
            )
        # Normal, not special: decoding must show it.
        tokenizer.add_tokens([AddedToken(SEG, normalized=False, special=False)])
        self._tokenizer = tokenizer
        self.seg_id = self._id(SEG)
        if self.seg_id >= vocab_rows:
            raise ModelError(
                f"<seg> would take row {self.seg_id}, but the table has {vocab_rows} rows.",
                remedy="Use a model whose table is larger than its tokenizer, as Qwen2.5-VL's is.",
            )
        self.image_id = self._id("<|image_pad|>")
        self.end_id = self._id("<|im_end|>")
        self.pad_id = self._id("<|endoftext|>")

    @classmethod
    def from_file(cls, path: Path, *, vocab_rows: int) -> ChatTokenizer:
        """Return the tokenizer of a `tokenizer.json`.

        Raises:
            ModelError: If the file is missing or is no tokenizer, or as the class says.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(
                f"{path.name} is missing or is no tokenizer.", remedy="Use the tokenizer.json of Qwen2.5-VL."
            ) from error
        return cls(tokenizer, vocab_rows=vocab_rows)

    def prefix_ids(self, image_tokens: int) -> list[int]:
        """Return the ids up to and including the picture, which takes `image_tokens` places."""
        return self._prefix_around([self.image_id] * image_tokens)

    def described_prefix_ids(self, description: str, image_tokens: int = 0) -> list[int]:
        """Return the ids of a prefix in which words, and then some places of a picture, stand for the whole one."""
        return self._prefix_around([*self.encode(description), *[self.image_id] * image_tokens])

    def _prefix_around(self, picture: list[int]) -> list[int]:
        system = chat_messages("?")[0]["content"]
        head = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
        return [*self.encode(head), *picture, *self.encode("<|vision_end|>")]

    def question_ids(self, question: str, reasoning: ReasoningMode) -> list[int]:
        """Return the ids of a question and of the opening of the answer, to follow a prefix."""
        text = chat_messages(question, reasoning)[1]["content"][1]["text"]
        return self.encode(f"{text}<|im_end|>\n<|im_start|>assistant\n")

    def reply_ids(self, reply: str) -> tuple[list[int], list[int]]:
        """Return the ids of a reply's reasoning and of its answer, the latter closed by the end-of-turn token.

        The two are encoded apart, here and when `<answer>` is forced while decoding, so that the boundary is the
        same sequence of tokens in training and in use.
        """
        reasoning, tag, answer = reply.partition(ANSWER_OPEN)
        return self.encode(reasoning), [*self.encode(tag + answer), self.end_id]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, tags of the chat format taken as such."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids without the chat format's own tags."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _id(self, token: str) -> int:
        value = self._tokenizer.token_to_id(token)
        if value is None:
            raise ModelError(f"The tokenizer lacks {token}.", remedy="Use the tokenizer.json of Qwen2.5-VL.")
        return int(value)

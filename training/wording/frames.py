"""Sentence frames of questions: what is said around the name of the thing asked for.

In a frame `{t}` is the bare name ("polyp"), `{a}` with its article ("a polyp", "white matter lesions"),
`{the}` with "the"; `{be}` and `{Be}` agree with it. `{on}` is where the picture may be named (" on this CT
of the head") or nothing; it brings its own leading space.
"""

from __future__ import annotations

COMMAND_VERBS: tuple[str, ...] = (
    "Segment", "Outline", "Mark", "Delineate", "Locate", "Find", "Highlight", "Identify", "Detect",
    "Localize", "Localise", "Show", "Show me", "Point out", "Circle", "Map", "Encircle", "Demarcate",
    "Annotate", "Indicate",
)  # fmt: skip
COMMAND_OBJECTS: tuple[str, ...] = (
    "{the}{on}", "{the}{on} for me", "{a}{on}", "any {t}{on}", "every {t}{on}", "{t}{on}",
    "{the} and its boundaries{on}", "{the} if there {be} one{on}", "the region of {the}{on}",
)  # fmt: skip

COMMANDS: tuple[str, ...] = (
    "Give me the mask of {the}{on}",
    "Give the boundary of {the}{on}",
    "Produce a mask for {the}{on}",
    "Return a segmentation of {the}{on}",
    "Locate and segment {the}{on}",
    "Find and outline {the}{on}",
    "Look for {a}{on}",
    "Search for {a}{on}",
    "Check for {a}{on}",
    "Check this picture for {a}",
    "Draw the contour of {the}{on}",
    "Draw around {the}{on}",
    "Color {the}{on}",
    "Tell me where {the} {be}{on}",
    "Tell me if there {be} {a}{on}",
    "Assess this picture for {a}",
    "Evaluate for {a}{on}",
    "Examine{on} for {a}",
    "Exclude {a}{on}",
    "Rule out {a}{on}",
    "Confirm or exclude {a}{on}",
    "Box {the}{on}",
    "Describe and segment {the}{on}",
    "Separate {the} from the healthy tissue{on}",
    "Measure {the}{on}",
    "I need {the} outlined{on}",
    "I want to see {the}{on}",
    "I am looking for {a}{on}",
    "We suspect {a}{on}, please mark it",
    "Let me see {the}{on}",
)

QUESTIONS: tuple[str, ...] = (
    "{Be} there {a}{on}?",
    "{Be} there {a}{on}, and where?",
    "Is there any {t}{on}?",
    "{Be} {a} present{on}?",
    "{Be} {a} visible{on}?",
    "Is any {t} seen{on}?",
    "Are there any signs of {a}{on}?",
    "Are there signs of {t}{on}?",
    "Where {be} {the}{on}?",
    "Where {be} {the} located{on}?",
    "Where can {the} be seen{on}?",
    "Where do you see {a}{on}?",
    "Can you find {a}{on}?",
    "Can you see {a}{on}?",
    "Can you segment {the}{on}?",
    "Can you outline {the}{on}?",
    "Could you mark {the}{on}?",
    "Could you show me {the}{on}?",
    "Could this be {a}?",
    "Would you delineate {the}{on}?",
    "Do you see {a}{on}?",
    "Do you see any {t}{on}?",
    "Does this picture show {a}?",
    "Does this show any {t}?",
    "Does the patient have {a}{on}?",
    "What part of the picture shows {the}?",
    "Which area {be} {the}{on}?",
    "Which region contains {the}{on}?",
    "What is the extent of {the}{on}?",
    "What are the boundaries of {the}{on}?",
    "What is the location of {the}{on}?",
    "How large {be} {the}{on}?",
    "How far does {the} reach{on}?",
    "Any {t}{on}?",
    "Any sign of {a}{on}?",
    "Any evidence of {a}{on}?",
    "Any suspicion of {a}{on}?",
    "{a}{on}?",
    "{a}{on}, yes or no?",
    "{t}, where?",
    "Has this patient got {a}{on}?",
    "Evidence of {a}{on}?",
)

NOUNS: tuple[str, ...] = (
    "{t}{on}",
    "{t}",
    "{the}{on}",
    "{t} segmentation{on}",
    "{t} mask{on}",
    "{t} outline{on}",
    "{t} location{on}",
    "{t} detection{on}",
    "{t} contour{on}",
    "{t} boundaries{on}",
    "{t} please{on}",
    "location of {the}{on}",
    "extent of {the}{on}",
    "segmentation of {the}{on}",
    "suspected {t}{on}",
    "possible {t}{on}",
    "known {t}{on}",
    "query {t}{on}",
    "?{t}{on}",
    "r/o {t}{on}",
    "evaluate {t}{on}",
    "{t} present or absent{on}",
)

BEFORE: tuple[str, ...] = (
    "Please", "Hello,", "Hi,", "Thanks,", "Follow-up,", "Follow up.", "First visit.", "Second opinion.",
    "Clinical question:", "Request:", "Task:", "Question:", "For the report:", "Before surgery:",
    "{age}-year-old patient.", "{age}-year-old woman.", "{age}-year-old man.", "{age} y/o,", "{age}F,",
    "{age}M,", "Pain for two weeks.", "Incidental finding?", "Routine check.", "Urgent.", "Staging.",
    "Screening.", "New patient.", "For planning:", "Dear colleague,", "Ok,", "Now", "Again:", "Quick look:",
    "In this picture,", "For this image:", "Using this image,", "Looking at this picture,",
)  # fmt: skip
AFTER: tuple[str, ...] = (
    "please", "thanks", "thank you", "asap", "for the report", "for me", "if present", "if visible",
    "if any", "as exactly as you can", "and explain briefly", "and say where", "and its extent", "today",
    "carefully", "for treatment planning", "for follow-up", "in a few words", "now",
)  # fmt: skip
STRAY_WORDS: tuple[str, ...] = (
    "the", "then", "also", "just", "maybe", "clearly", "again", "here", "still", "really", "possibly",
    "exactly", "all", "some", "well", "left", "right", "upper", "lower", "small", "large", "old", "new",
    "clinical",
)  # fmt: skip

ON_MODALITY: tuple[str, ...] = (
    " on this {m}", " in this {m}", " on the {m}", " in the {m}", " on {m}", " in {m}", " from this {m}",
    " ({m})", ", {m}", " seen on {m}", " on the attached {m}", " on a {m}",
)  # fmt: skip
ON_ANATOMY: tuple[str, ...] = (
    " in the {o}", " of the {o}", " in this {o}", ", {o}", " ({o})", " within the {o}",
    " in the {o} region",
)  # fmt: skip
ON_BOTH: tuple[str, ...] = (
    " on this {m} of the {o}", " in this {o} {m}", " on the {o} {m}", ", {m} {o}", " ({m}, {o})",
    " on {m} of the {o}", " in the {o} on this {m}",
)  # fmt: skip
ON_NOTHING: tuple[str, ...] = (
    "",
    "",
    "",
    "",
    " here",
    " in this image",
    " in this picture",
    " on this slice",
)


def all_frames() -> tuple[str, ...]:
    """Return every frame of the four forms, without the politeness and clinical words around them."""
    ordered = tuple(f"{verb} {what}" for verb in COMMAND_VERBS for what in COMMAND_OBJECTS)
    return ordered + COMMANDS + QUESTIONS + NOUNS

"""What people say around the thing they ask for: who asks, what for, what came before, and sheer noise.

None of it bears on the answer. It is asked with every kind of question alike, so that words a model has
never met teach it nothing but to read past them. No wording here names a lesion, an organ or a modality:
that would change what the right answer is.
"""

from __future__ import annotations

import random

WHO: tuple[str, ...] = (
    "the surgeon", "the oncologist", "the registrar", "the consultant", "the ward", "the board",
    "the family doctor", "the referring doctor", "radiotherapy", "our physicist", "the study nurse",
    "my boss", "the patient", "the clinic", "the intern", "the team", "a colleague", "the trial centre",
    "the planning room", "the professor", "the emergency room", "the resident on call",
)  # fmt: skip
WANTS: tuple[str, ...] = (
    "wants", "asks for", "requests", "would like", "needs", "is waiting for", "hopes for", "insists on",
    "ordered", "wishes to get", "keeps asking for", "must have",
)  # fmt: skip
PRODUCTS: tuple[str, ...] = (
    "a contour of", "the outline of", "the area of", "a measurement of", "the volume of", "the diameter of",
    "the margin of", "a mask of", "the exact position of", "a sketch of", "the dimensions of", "a drawing of",
    "the edges of", "the borderline of", "the size of", "coordinates of", "a delineation of", "a tracing of",
    "the silhouette of", "the pixels of", "a region of interest on", "the shape of", "a closer look at",
)  # fmt: skip
PURPOSES: tuple[str, ...] = (
    "for the letter", "for the archive", "for our meeting tomorrow", "to compare with last year",
    "for teaching", "before we operate", "to decide on treatment", "so that the needle goes there",
    "for the trial", "to follow it over time", "for the second reading", "for dose planning", "for my notes",
    "to show the patient", "for the discharge summary", "as a baseline", "to settle the question",
    "because nobody is sure", "for statistics", "before the next visit", "for documentation",
    "since the last reader was unsure", "for the database", "to report it properly",
)  # fmt: skip
HISTORY: tuple[str, ...] = (
    "Known for {n} years", "No complaints", "Fever since {n} days", "Weight loss of {n} kg", "Smoker",
    "After chemotherapy", "After {n} cycles of treatment", "Status after biopsy", "Worse over {n} weeks",
    "No earlier images", "Admitted last night", "Outpatient", "Ward {n}", "Bed {n}", "Referred yesterday",
    "Follow-up number {n}", "Series {n}, image {m}", "Image {n} of {m}", "Slice {n}", "Case {n}",
    "Laboratory values normal", "CRP {m}", "Diabetic", "On anticoagulants", "Operated {n} months ago",
    "Pain at night", "Family history positive", "Healthy volunteer", "Retired teacher, {m}", "Check-up",
    "Quality moderate", "Motion artefacts", "Poor cooperation", "Second visit this year", "Private patient",
    "Discussed by phone", "Resubmitted", "Training case {n}", "Exam on the {n}th", "History unclear",
    "Treated abroad", "Stable for {n} months", "Sent by mail", "Night shift", "Unclear since {n} days",
)  # fmt: skip
OPINIONS: tuple[str, ...] = (
    "I think this is {a}{on}", "It looks like {a} to me{on}", "My colleague says {a}{on}", "Might be {a}{on}",
    "The old report mentions {a}{on}", "Somebody saw {a}{on}", "I am not certain about {a}{on}",
    "We were told of {a}{on}", "Not sure if {a} or normal{on}", "They are worried about {a}{on}",
    "There should be {a} somewhere{on}", "This ought to be {a}{on}", "I wonder about {a}{on}",
    "One reader believes in {a}{on}", "The suspicion was {a}{on}", "Maybe {a}, maybe nothing{on}",
    "Do not miss {a}{on}", "Remember to look for {a}{on}", "Could well be {a}{on}", "My guess: {t}{on}",
)  # fmt: skip
ASKED_AFTER_AN_OPINION: tuple[str, ...] = (
    "please check", "can you confirm?", "do you agree?", "where exactly?", "show where", "right?", "or not?",
    "draw it", "contour it", "what do you think?", "what part?", "trace it", "mark it if so", "true?",
    "how large?", "how much of it?", "please take a look", "can you place it?", "fill it in", "yes or no",
)  # fmt: skip
VERBS: tuple[str, ...] = (
    "trace", "contour", "paint", "draw", "select", "shade", "fill", "colour", "label", "grab", "pick out",
    "isolate", "extract", "measure", "size up", "sketch", "frame", "cut out", "notice", "detail", "capture",
    "determine", "establish", "report", "quantify", "display", "bring up", "go over", "make out", "box in",
    "crop", "separate", "spell out", "work out", "run over", "visualise", "inspect", "verify", "catch",
)  # fmt: skip
LEADS: tuple[str, ...] = (
    "can you", "could you", "would you", "I want you to", "I need you to", "you should", "try to",
    "be so kind and", "your job:", "next step:", "it is time to", "how would you", "are you able to",
    "help me to", "we have to", "is it possible to", "I'd like to", "they told me to", "first", "then",
    "let's", "time to", "what about trying to", "somebody has to", "go and",
)  # fmt: skip
QUALITIES: tuple[str, ...] = (
    "large", "tiny", "round", "irregular", "deep", "superficial", "growing", "treated", "main", "primary",
    "residual", "recurrent", "bright", "dark", "obvious", "faint", "whole", "entire", "biopsied", "old",
    "new", "presumed", "reported", "symptomatic", "solitary", "largest", "visible", "big", "subtle", "odd",
    "ill-defined", "well-defined", "untreated", "questionable", "famous", "remaining", "central", "so-called",
)  # fmt: skip
TALK: tuple[str, ...] = (
    "about", "above", "actually", "after", "afternoon", "almost", "along", "already", "although", "always",
    "another", "anyhow", "appointment", "around", "assistant", "at", "away", "back", "basically", "because",
    "before", "below", "beside", "better", "between", "both", "but", "button", "by", "call", "careful",
    "case", "centimetre", "chance", "change", "chart", "clear", "close", "computer", "copy", "could",
    "course", "current", "day", "decide", "detail", "different", "difficult", "doctor", "done", "doubt",
    "down", "during", "each", "early", "easy", "either", "else", "enough", "even", "ever", "every",
    "example", "expert", "extra", "fact", "far", "fast", "few", "file", "final", "fine", "first",
    "five", "folder", "follow", "four", "from", "full", "further", "general", "give", "go", "good", "great",
    "half", "happy", "hard", "have", "he", "her", "him", "his", "hour", "how", "however", "idea", "if",
    "important", "inside", "instead", "into", "issue", "it", "its", "keep", "kind", "know", "late", "later",
    "least", "less", "letter", "level", "like", "line", "list", "long", "look", "lot", "made", "make",
    "many", "matter", "mean", "medium", "meeting", "might", "millimetre", "minute", "moment", "monday",
    "month", "more", "morning", "most", "move", "much", "my", "near", "need", "never", "next", "night",
    "nothing", "number", "of", "off", "often", "once", "only", "open", "opinion", "or", "order", "other",
    "otherwise", "our", "out", "outside", "over", "own", "page", "paper", "part", "past", "pause",
    "perhaps", "person", "phone", "plan", "point", "possible", "pretty", "print", "probably", "problem",
    "protocol", "quality", "question", "quick", "quite", "rather", "read", "ready", "real", "reason",
    "record", "repeat", "reply", "rest", "review", "room", "round", "safe", "same", "save", "second", "see",
    "seems", "send", "several", "she", "short", "should", "side", "simple", "since", "single", "slow", "so",
    "somehow", "sometimes", "soon", "sorry", "special", "standard", "start", "state", "step", "stop",
    "story", "such", "sure", "table", "take", "talk", "team", "tell", "ten", "test", "than", "that",
    "their", "them", "there", "these", "they", "thing", "think", "though", "three", "through", "till",
    "time", "together", "tomorrow", "tonight", "too", "total", "toward", "try", "turn", "twice", "two",
    "typical", "under", "unless", "until", "up", "use", "usual", "very", "view", "visit", "wait",
    "want", "was", "way", "we", "week", "were", "what", "when", "whether", "while", "who", "whole", "why",
    "will", "with", "within", "without", "word", "work", "would", "wrong", "yesterday", "yet", "you",
)  # fmt: skip
"""Everyday words: whatever lands between the words that count."""

_ONSETS: tuple[str, ...] = (
    "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "ch", "cl", "dr", "fl",
    "gr", "pl", "pr", "sh", "st", "tr",
)  # fmt: skip
_NUCLEI = "aeiouy"
_CODAS = ("", "", "n", "r", "s", "l", "t", "x", "nd", "m")


def request_frame(rng: random.Random) -> str:
    """Return a frame made of who asks, what is to be done and what for, in one of many orders."""
    form = rng.randrange(6)
    if form == 0:
        return f"{rng.choice(WHO)} {rng.choice(WANTS)} {rng.choice(PRODUCTS)} {{the}}{{on}}"
    if form == 1:
        return f"{rng.choice(LEADS)} {rng.choice(VERBS)} {{the}}{{on}}{rng.choice(('', '', '?'))}"
    if form == 2:
        return f"{rng.choice(VERBS)} {rng.choice(('{the}', '{a}', '{t}', 'all {t}'))}{{on}}"
    if form == 3:
        return f"{rng.choice(OPINIONS)}{rng.choice((', ', '. ', ' - '))}{rng.choice(ASKED_AFTER_AN_OPINION)}"
    if form == 4:
        product = rng.choice(PRODUCTS)
        return (
            f"{rng.choice(('', 'I need ', 'just ', 'give '))}{product} {{the}}{{on}}, {rng.choice(PURPOSES)}"
        )
    return f"{{t}}{{on}}{rng.choice((': ', ' - ', '. ', ', '))}{rng.choice(ASKED_AFTER_AN_OPINION)}"


def history(rng: random.Random) -> str:
    """Return a remark or two on the patient or the case, ended like a sentence."""
    remarks = rng.sample(HISTORY, rng.choice((1, 1, 2)))
    text = rng.choice((", ", ". ")).join(remarks).format(n=rng.randint(2, 29), m=rng.randint(30, 300))
    return f"{text}{rng.choice(('.', '.', ':', ',', ' -'))}"


def with_noise(rng: random.Random, text: str) -> str:
    """Return the text with one to four everyday or made-up words before it, after it or inside it."""
    words = [_made_up(rng) if rng.random() < 0.25 else rng.choice(TALK) for _ in range(rng.randint(1, 4))]
    place = rng.randrange(3)
    if place == 0:
        return f"{' '.join(words)}{rng.choice((' ', ', ', '. '))}{text}"
    if place == 1:
        return f"{text}{rng.choice((' ', ', ', ' - '))}{' '.join(words)}"
    own = text.split()
    for word in words:
        own.insert(rng.randint(0, len(own)), word)
    return " ".join(own)


def _made_up(rng: random.Random) -> str:
    """Return a word of no language, or a number as it stands in a form."""
    if rng.random() < 0.3:
        return rng.choice(("{}", "{}mm", "nr {}", "#{}", "{}%", "({})")).format(rng.randint(0, 2030))
    syllables = rng.randint(1, 3)
    return "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(syllables))

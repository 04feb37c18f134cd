"""How answers are named in a store: one tag an answer, so that none overwrites another."""

TAG_PREFIX = "coreseg-"

"""Training of CORE-Seg: recipes, rewards, wording and data."""

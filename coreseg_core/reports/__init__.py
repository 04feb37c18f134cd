"""Reports: findings in plain words, as a picture, and as a page for each study."""

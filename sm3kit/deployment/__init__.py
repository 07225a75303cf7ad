"""What becomes of a run: predictions for new studies, embeddings, files for other programs."""

from __future__ import annotations

# What everything that leaves a run says of itself.
STATEMENT = (
    "Research software, no medical device: not for diagnosis or treatment, and no substitute for "
    "a physician."
)

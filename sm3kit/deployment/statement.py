"""What everything that leaves a run says of itself."""

from __future__ import annotations

STATEMENT = (
    "Research software, no medical device: not for diagnosis or treatment, and no substitute for "
    "a physician."
)

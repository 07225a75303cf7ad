"""Short hashes of facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sm3kit import __version__


def hashed(facts: Mapping[str, Any]) -> str:
    """16 hex digits for facts and the version of sm3kit."""
    text = json.dumps({"sm3kit": __version__, **facts}, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

"""Building blocks of networks and losses: torch only, no registry."""

"""What a user calls from Python, and what the command line shares with it."""

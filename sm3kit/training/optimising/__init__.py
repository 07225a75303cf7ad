"""How weights move: optimisers and their groups, rates over time, averages, and when to stop."""

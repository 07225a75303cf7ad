"""What was measured, as tables, and the writers of tables."""

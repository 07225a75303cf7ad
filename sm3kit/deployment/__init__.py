"""What becomes of a run: predictions for new studies, embeddings, files for other programs."""

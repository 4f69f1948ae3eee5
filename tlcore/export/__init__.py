"""What leaves the project: an arm as a script, a notebook or a model, a comparison as tables, a report or logs."""

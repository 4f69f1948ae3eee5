"""The project's figures, each measured by one command."""

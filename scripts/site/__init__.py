"""The documentation site beyond the pages of docs/: links to the project's files, made pages."""

"""The reference pages that are made from the code: docs/CONFIGURATION.md, docs/API.md, two diagrams."""

"""The live page: follows a record, and shows it in a browser; reads only."""

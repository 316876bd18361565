"""The pages of `serve`: the record in a browser, read-only. Imports report and db."""

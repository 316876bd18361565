"""The pages of `serve` show what is recorded in a browser. They read and never write. Imports report and db."""

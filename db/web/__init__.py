"""The record as web pages: read-only, served locally."""

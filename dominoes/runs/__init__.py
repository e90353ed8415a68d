"""Specs become finished run folders, one or a sweep, on any engine; all that lies in a results folder."""

"""The only room that knows click, prints or exits."""

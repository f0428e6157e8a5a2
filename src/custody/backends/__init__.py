"""The outside: one module for each thing this library talks to, behind the ports."""

"""The typed content of every file that one part writes and another reads."""

"""Importers: one vendor format, one file; each turns files of a format into pieces of rows in the lake's words."""

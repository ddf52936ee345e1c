"""How results look, as text, tables, pages and pictures; it knows no network."""

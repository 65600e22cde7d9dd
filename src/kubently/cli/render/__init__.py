"""How schema types look on a terminal, and plain where there is none. No data access."""

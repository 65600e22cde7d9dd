"""Everything that may break breaks, in an order that a seed decides, under load; a checker looks at what came of it."""

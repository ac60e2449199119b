"""Generate, extract, score, aggregate, report; each step persisted."""

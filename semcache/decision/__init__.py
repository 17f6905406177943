"""How a decision is made: terms, alignment, vetoes, scorers, calibration, verdict."""

"""The four evaluations: references and predictions in, a report out."""

"""The evaluator: an encoder of texts and one of motions, trained so that a text lies near the motion it asks for."""

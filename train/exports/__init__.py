"""`train export`: a run as a model for other programs, with its model card.

In: a run folder. Out: Keras, SavedModel, TFLite or ONNX files and a card that says what they are.
Builds on `model` and `config`.
"""

"""`train export`: hands a trained model to other programs, with a card that describes it.

In: a run folder. Out: a folder with the model as Keras, SavedModel, TFLite or ONNX, its vocabulary and a README.md.
Builds on `model` and `config`.
"""

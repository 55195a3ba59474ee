"""From labelled data to a trained network, within a budget of minutes.

In: a folder of images, arrays, or a table. Out: a folder with weights, source, ONNX and a model card. Next:
whoever uses the network; ``cli`` has the verb.
"""

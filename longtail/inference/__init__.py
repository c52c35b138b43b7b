"""A trained model in use: its predictions for images, and the forms in which it is handed on to others.

    logits        logits of images, their probabilities, and the file that keeps those of the test images
    pictures      files, folders and lists of pictures, and the most probable classes of each
    photographs   new photographs with known classes, and what a model says of them
    held_out      the validation and test images of a run, and what it says of them
    temperature   the one number that calibrates probabilities
    unknown       whether a picture shows a known class at all
    options       what the doors that compute with a model take on the command line
    onnx          the model as a file for other programs, compared with PyTorch before it is kept
    elsewhere     the model as one of timm or torchvision, whose logits are compared with ours
    trial         small runs of a method on the digits, for `longtail.testing.check_method`
    page          the model described for people, in Markdown

It uses the rooms below: `models` for a model and its card, `batches` and `data` for images, `report` for the
names on the page. The doors `predict`, `evaluate`, `worklist` and `export` use it, and so do the programs
train and predict.

Three facts that a newcomer needs:

- The card in the model file (`longtail.models.card`) holds all that a prediction needs: classes, sizes, normalisation,
  precision. The only setting that it takes from the experiment's configuration is the crops.
- The file of predictions holds raw logits, without the temperature and without the sets that an image is in. So
  another metric, calibration or test set never predicts anew.
- Probabilities are the softmax of the logits times `ModelCard.sharpness`: the scale that the loss had, over the
  temperature.
"""

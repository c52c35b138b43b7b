"""Images as tensors: in memory, and in the `.pth` files that training and prediction read.

- `files.py`: `LabelledImages`, and how it is written to and read from files of tensors only.
- `shards.py`: a large set that several files hold, used like one tensor.
- `selection.py`: the images of one named set.
- `loading.py`: whether images lie in the memory of the device or stay in their files.

Images are uint8, N x 3 x H x W; labels and image ids are int64. Files are read with `weights_only=True`, so that a file
from elsewhere cannot run code.
"""

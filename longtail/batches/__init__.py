"""Batches: images that stay uint8 on the device become augmented, normalised batches there.

    feed       `Feed` serves the batches of an epoch, or of an evaluation
    cropping   the pixels of a batch: resize, border, crop, flip, scale, each image with its own crop
    policies   TrivialAugment and RandAugment on whole batches
    sampling   which images an epoch sees
    mixup      Mixup and Remix: mixtures of two images, and their labels

It uses `data` for images that are left in their files, `losses` to weigh mixed labels, and `machine`. Training
serves its epochs from here, and `longtail.inference` every image that it predicts.

Three facts that a newcomer needs:

- All random numbers are drawn on the CPU, for a whole epoch at once. So every device gets the same batches, an epoch
  that was interrupted continues with the batches it would have had, and no step waits for the device.
- Every batch is written into the same buffer, which is valid until the next batch is asked for.
- A batch equals torchvision's transforms of each image to 1e-5, but is made by two matrix products, since resizing,
  cropping, flipping and normalising are linear in the image.
"""

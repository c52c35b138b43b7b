"""Which images train, validate and test, and which of them are in the long-tailed sets.

- `sets.py`: the names of subsets, sets and groups, and which images are in a set. It imports neither torch nor pandas.
- `balanced.py`: draws the same number of images from every class.
- `imbalance.py`: how many images each class of a long-tailed set has.
- `longtailed.py`: cuts the long-tailed sets from the balanced ones, and groups the classes.
- `natural.py`: the split of a collection that keeps the counts of its classes.
- `lists.py`: the split that text files describe.

The balanced subsets are drawn before the imbalance, so that a change of the imbalance never touches them. A draw
depends on the seed, the class and the image ids, not on the order of the images.
"""

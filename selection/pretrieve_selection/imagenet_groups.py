"""ImageNet-1k classes of one kind, as indices in the sorted order of WordNet ids (Table 4 and Figure 3b)."""

IMAGENET_BIRD_CLASSES: tuple[int, ...] = (*range(7, 25), *range(80, 101), *range(127, 147))
"""The 59 classes of birds, cock to albatross."""

IMAGENET_DOG_CLASSES: tuple[int, ...] = tuple(range(151, 269))
"""The 118 classes of dogs, Chihuahua to Mexican hairless."""

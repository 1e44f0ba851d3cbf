"""Groups of ImageNet-1k that a target is known to resemble."""

IMAGENET_BIRD_CLASSES: tuple[int, ...] = (*range(7, 25), *range(80, 101), *range(127, 147))
"""The 59 bird classes of ImageNet-1k, cock to albatross: indices in the sorted order of WordNet ids (Table 4)."""

IMAGENET_DOG_CLASSES: tuple[int, ...] = tuple(range(151, 269))
"""The 118 dog classes, Chihuahua to Mexican hairless: indices likewise (Figure 3b)."""

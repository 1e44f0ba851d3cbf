"""Image sets: tables of images in splits, from folders, arrays, functions and packages."""

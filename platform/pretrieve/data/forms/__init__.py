"""The forms in which a user's own data arrives, each read into an image set."""

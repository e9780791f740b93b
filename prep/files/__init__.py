"""Which files there are: found under paths, what of folders is left out, what they are named, what is said of them."""

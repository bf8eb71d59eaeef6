"""Ways to break the product from outside, each of which the checker must see."""

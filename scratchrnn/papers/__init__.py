"""Results of papers, and exact ones, measured anew: a module for each; `scratchrnn papers` runs them."""

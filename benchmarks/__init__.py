"""What safeguards cost, beside the alternatives. Ratios of one run on one machine; see `benchmarks.run`."""

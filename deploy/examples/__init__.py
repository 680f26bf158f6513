"""Two whole migrations, for the demonstration, the tests and the benchmarks."""

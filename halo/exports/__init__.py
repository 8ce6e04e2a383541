"""Samples as files that other people's tools read: AlpacaEval, Arena-Hard, MT-Bench, parquet."""

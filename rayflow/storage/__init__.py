"""Bytes in and out: stores, journals, values, the index. The only package that imports pyarrow."""

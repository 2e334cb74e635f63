"""Tests of the language runtimes; see `runtime_api` for how they are driven."""

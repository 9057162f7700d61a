"""Tests of NOTIFY without servers."""

"""`python -m benchmarks` measures the preset `lite`."""

from benchmarks.lite import main

if __name__ == "__main__":
    main()

"""`python -m sm3kit`, the same as the console script."""

from sm3kit.cli.main import main

if __name__ == "__main__":
    main()

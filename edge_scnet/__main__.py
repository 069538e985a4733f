"""`python -m edge_scnet` is `edge-scnet`, for where scripts are not on PATH."""

from edge_scnet.cli import main

if __name__ == "__main__":
    main()

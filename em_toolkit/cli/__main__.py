"""`python -m em_toolkit.cli`, for where the script em-toolkit is not on the path."""

from em_toolkit.cli import main

main()

"""``python -m seatrial``: the command line."""

from seatrial.cli import main

if __name__ == "__main__":
    main(prog_name="seatrial")

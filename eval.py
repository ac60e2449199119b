"""Evaluate: `accelerate launch eval.py checkpoint=DIR benchmark=NAME [key=value …]`."""

from affect_mllm.tools.app import main

if __name__ == "__main__":
    import sys

    main(["eval", *sys.argv[1:]])

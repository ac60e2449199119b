"""Train: `accelerate launch train.py experiment=NAME [stage=NAME] [launch=NAME] [key=value …]`."""

from affect_mllm.tools.app import main

if __name__ == "__main__":
    import sys

    main(["train", *sys.argv[1:]])

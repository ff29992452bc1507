"""``python -m ngf_hub.cli`` and ``accelerate launch -m ngf_hub.cli``."""

from ngf_hub.cli.app import main

if __name__ == "__main__":
    main()

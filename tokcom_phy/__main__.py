"""The command line as a module, for launchers: ``accelerate launch -m tokcom_phy finetune EXPERIMENT``."""

from tokcom_phy.cli import main

if __name__ == "__main__":
    main()

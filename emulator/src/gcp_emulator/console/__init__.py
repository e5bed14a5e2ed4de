"""The state page at the emulator's own address: what is there and what happens, for people. It changes nothing."""

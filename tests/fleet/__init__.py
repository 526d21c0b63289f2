"""Three hosts with their own networks, folders and clocks on this machine: `make fleet`."""

"""What `slipstream doctor` looks at: each check returns findings, and none of them raises."""

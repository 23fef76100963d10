"""The `pileus` command: one module per noun. It speaks HTTP with ordinary credentials, and touches the machine only to begin and end a
cloud, to look at it, and to run a command inside it. It imports no service."""

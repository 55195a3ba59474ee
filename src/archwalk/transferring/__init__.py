"""What agents trained elsewhere are good for where another one is trained: transfer methods, a file each."""

"""What every part of the toolkit uses: errors, files, processes."""
